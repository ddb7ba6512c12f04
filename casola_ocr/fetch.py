"""Downloads documents from URLs that clients name.

Which addresses may be connected to, and why, is said in `casola_ocr.egress`. Here are the rules for
the exchange: each redirect goes through the same checks; https never becomes http; one deadline
covers everything, and the body's bytes are counted as they come.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpcore
import httpx

from casola_ocr import egress
from casola_ocr.documents.names import clean_file_name
from casola_ocr.errors import (
    BadDataUrl,
    BadUrl,
    EmptyFile,
    FetchFailed,
    FetchRefused,
    FetchTimeout,
    FileTooLarge,
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DATA_URL = re.compile(r"data:([^,]{0,255}),", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class FetchedDocument:
    """A download: its bytes, and a name from the URL that is safe to show."""

    data: bytes
    file_name: str


class Fetcher:
    """Downloads documents; see the modules' rules. Thread-safe, keeps no connection.

    Args:
        max_bytes: largest body; about this much memory is used by one download.
        timeout_seconds: limit of a whole download: names, redirects and body together.
        max_redirects: how many redirects are followed.
        allow_networks: networks (CIDR) that are allowed although they are not public, there on
            every port.

    Raises:
        ValueError: `allow_networks` holds something that is not a network.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout_seconds: float,
        max_redirects: int,
        allow_networks: Sequence[str] = (),
    ):
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._max_redirects = max_redirects
        self._allowed = egress.networks(allow_networks)

    def fetch(self, url: str) -> FetchedDocument:
        """Download `url`. The body may be empty and of any type: that is for `sniff` to judge.

        Raises:
            BadUrl: the URL cannot be downloaded from, whoever answers.
            FetchRefused: the URL, or a redirect, leads to an address or port that is not allowed.
            FetchTimeout: the time was up.
            FileTooLarge: the body has, or claims to have, more than `max_bytes`.
            FetchFailed: anything else: no such name, no connection, a status other than 200.
        """
        deadline = time.monotonic() + self._timeout_seconds
        target = egress.parse_url(url, self._allowed)
        name = clean_file_name(urllib.parse.unquote(target.path.rsplit("/", 1)[-1]))
        with egress.failures(deadline), egress.connections(self._allowed, deadline) as pool:
            for _ in range(self._max_redirects + 1):
                answer = self._get(pool, target, deadline)
                if isinstance(answer, bytes):
                    return FetchedDocument(data=answer, file_name=name)
                target = answer
        raise FetchFailed(f"The document's URL redirects more than {self._max_redirects} times.")

    def _get(
        self, pool: httpcore.ConnectionPool, target: httpx.URL, deadline: float
    ) -> bytes | httpx.URL:
        """The body, or where the answer redirects to."""
        with pool.stream(
            "GET",
            egress.target_of(target),
            headers=[
                (b"Host", target.netloc),
                (b"User-Agent", b"casola-ocr"),
                (b"Accept", b"image/*"),
                # A compressed body could be a bomb; documents are compressed already.
                (b"Accept-Encoding", b"identity"),
                (b"Connection", b"close"),
            ],
            extensions={"timeout": egress.timeouts(deadline)},
        ) as response:
            headers = {key.lower(): value for key, value in response.headers}
            if response.status in _REDIRECTS and b"location" in headers:
                return self._redirect(target, headers[b"location"])
            if response.status != 200:
                raise FetchFailed(f"The document's URL answered with status {response.status}.")
            return self._body(response, headers, deadline)

    def _redirect(self, source: httpx.URL, location: bytes) -> httpx.URL:
        try:
            joined = str(source.join(location.decode("utf-8")).copy_with(fragment=None))
            target = egress.parse_url(joined, self._allowed)
        except (BadUrl, httpx.InvalidURL, ValueError) as error:
            raise FetchFailed(
                "The document's URL redirects to one that cannot be downloaded from."
            ) from error
        if source.scheme == "https" and target.scheme != "https":
            raise FetchRefused("The document's URL redirects from https to http.")
        return target

    def _body(
        self, response: httpcore.Response, headers: Mapping[bytes, bytes], deadline: float
    ) -> bytes:
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        if encoding not in (b"", b"identity"):
            raise FetchFailed("The document's URL answered with a compressed body.")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()
        body = io.BytesIO()
        for chunk in response.iter_stream():
            if time.monotonic() >= deadline:
                raise FetchTimeout
            if body.tell() + len(chunk) > self._max_bytes:
                raise self._too_large()
            body.write(chunk)
        return body.getvalue()

    def _too_large(self) -> FileTooLarge:
        return FileTooLarge(f"The document at the URL has more than {self._max_bytes} bytes.")


def decode_data_url(url: str, max_bytes: int) -> bytes:
    """The bytes of a ``data:`` URL, in base64 or percent-encoded; its media type is ignored.

    The size is judged before anything is decoded.

    Raises:
        BadDataUrl: not a data: URL, or its content is not strictly encoded.
        EmptyFile: it holds no bytes.
        FileTooLarge: it holds more than `max_bytes`.
    """
    match = _DATA_URL.match(url)
    if match is None:
        raise BadDataUrl
    is_base64 = match[1].rpartition(";")[2].strip().lower() == "base64" and ";" in match[1]
    # Each byte, or each of the four base64 digits of three bytes, takes up to three characters.
    most = (4 if is_base64 else 3) * (max_bytes + 2)
    if len(url) - match.end() > most:
        raise _data_too_large(max_bytes)
    try:
        payload = url[match.end() :].encode("ascii")
    except UnicodeEncodeError as error:
        raise BadDataUrl("The data: URL holds characters that must be encoded.") from error
    if b"%" in payload:
        if re.search(rb"%(?![0-9A-Fa-f]{2})", payload):
            raise BadDataUrl("The data: URL holds a '%' without two hexadecimal digits.")
        payload = urllib.parse.unquote_to_bytes(payload)
    if is_base64:
        if len(payload) * 3 // 4 - payload[-2:].count(b"=") > max_bytes:
            raise _data_too_large(max_bytes)
        try:
            payload = base64.b64decode(payload, validate=True)
        except binascii.Error as error:
            raise BadDataUrl("The data: URL's content is not base64.") from error
    if not payload:
        raise EmptyFile("The data: URL holds no bytes.")
    if len(payload) > max_bytes:
        raise _data_too_large(max_bytes)
    return payload


def _data_too_large(max_bytes: int) -> FileTooLarge:
    return FileTooLarge(f"The data: URL holds more than {max_bytes} bytes.")
