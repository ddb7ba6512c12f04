"""Downloads documents from URLs that clients name.

Threat: whoever may submit a URL makes this server send a request from inside its network. Aimed
at a cloud's metadata service, at Redis or at an admin page, that reads or changes what the client
could not reach (server-side request forgery). A slow or endless answer ties up a worker.

Rule: the name is resolved once per connection; every address it has must be a public unicast one
(or lie in the operator's exceptions), else nothing is sent; the connection goes to an address that
was checked, never to the name again, so a second DNS answer changes nothing. TLS still verifies
the name. IPv6 forms that carry an IPv4 address are judged by it or refused. Only http(s) on the
usual ports; each redirect goes through the same checks; https never becomes http; proxies from
the environment, cookies and credentials are not used. One deadline covers everything, and the
body's bytes are counted as they come.

Residual risks, for the operator:

- A public address can lead inside (a router's hairpin, a public address of one's own network).
  Only an egress firewall stops that.
- The answers "refused", "failed" and "timed out" differ, so a client learns whether a public host
  answers. Addresses are never told.
- A resolver that hangs is abandoned at the deadline, but the system's lookup cannot be stopped:
  its thread ends when the resolver gives up (seconds). The lookup itself tells the name's owner
  that this server asked.
- The address of a NAT64 prefix of one's own network looks public.
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

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

#: Longest URL accepted, in characters; data: URLs have the file's own limit.
MAX_URL_LENGTH = 2048

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252})")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")
_DATA_URL = re.compile(r"data:([^,]{0,255}),", re.IGNORECASE)

# Global by Python's tables but not public: IETF assignments and the 6to4 relay (which older tables
# miss) and the address at which Azure answers its virtual machines.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Teredo lies in 2001::/23, 6to4 is 2002::/16: both end at an IPv4 address behind a relay that
# nobody runs any more. The last is for documentation.
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_REFUSED = "The URL leads to an address that is not public."
_REFUSED_PORT = "Only the ports 80 and 443 are downloaded from."
_TIMED_OUT = "The document's URL took too long to answer."


@dataclass(frozen=True, kw_only=True)
class FetchedDocument:
    """A download: its bytes, and a name from the URL that is safe to show."""

    data: bytes
    file_name: str


class Fetcher:
    """Downloads documents; see the module's rule. Thread-safe, keeps no connection.

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
        self._allow_networks = tuple(allow_networks)
        self._allowed = _networks(allow_networks)
        self._ssl_context = _ssl_context()

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
        target = _parse(url, self._allowed)
        name = clean_file_name(urllib.parse.unquote(target.path.rsplit("/", 1)[-1]))
        backend = _GuardedBackend(self._allowed, deadline)
        try:
            with httpcore.ConnectionPool(
                ssl_context=self._ssl_context, network_backend=backend, max_connections=1
            ) as pool:
                for _ in range(self._max_redirects + 1):
                    answer = self._get(pool, target, deadline)
                    if isinstance(answer, bytes):
                        return FetchedDocument(data=answer, file_name=name)
                    target = answer
        except httpcore.TimeoutException as error:
            raise FetchTimeout(_TIMED_OUT) from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.ConnectionNotAvailable,
            OSError,
        ) as error:
            if time.monotonic() >= deadline:
                raise FetchTimeout(_TIMED_OUT) from error
            raise FetchFailed("The connection to the document's URL failed.") from error
        raise FetchFailed(f"The document's URL redirects more than {self._max_redirects} times.")

    def _get(
        self, pool: httpcore.ConnectionPool, target: httpx.URL, deadline: float
    ) -> bytes | httpx.URL:
        """The body, or where the answer redirects to."""
        with pool.stream(
            "GET",
            httpcore.URL(
                scheme=target.raw_scheme,
                host=target.raw_host,
                port=target.port,
                target=target.raw_path,
            ),
            headers=[
                (b"Host", target.netloc),
                (b"User-Agent", b"casola-ocr"),
                (b"Accept", b"image/*"),
                # A compressed body could be a bomb; documents are compressed already.
                (b"Accept-Encoding", b"identity"),
                (b"Connection", b"close"),
            ],
            extensions={"timeout": _timeouts(deadline)},
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
            target = _parse(joined, self._allowed)
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
                raise FetchTimeout(_TIMED_OUT)
            if body.tell() + len(chunk) > self._max_bytes:
                raise self._too_large()
            body.write(chunk)
        return body.getvalue()

    def _too_large(self) -> FileTooLarge:
        return FileTooLarge(f"The document at the URL has more than {self._max_bytes} bytes.")


def validate_url(url: str, *, allow_networks: Sequence[str] = ()) -> None:
    """Refuse early what `Fetcher.fetch` would refuse without asking anybody; sends nothing.

    Passing means little: the name's addresses are only judged when they are connected to.

    Raises:
        BadUrl: not http(s), without a host, with a user or password, or too long.
        FetchRefused: the host is an address that is not public, in whatever notation, or the
            port is not allowed.
        ValueError: `allow_networks` holds something that is not a network.
    """
    _parse(url, _networks(allow_networks))


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


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    # Loading the authorities takes longer than a small download.
    return httpcore.default_ssl_context()


def _networks(networks: Iterable[str]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)


def _parse(url: str, allowed: tuple[_Network, ...]) -> httpx.URL:
    """The one parse of a URL: what is judged here is what is connected to."""
    if len(url) > MAX_URL_LENGTH:
        raise BadUrl(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if _UNSAFE.search(url):
        raise BadUrl("The URL holds spaces, control characters or backslashes.")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        # Octal notation and the like: not a URL, but say why when it is an attack.
        _judge_literal(_host_of(url), None, allowed)
        raise BadUrl("The URL cannot be parsed.") from error
    if parsed.scheme not in _PORTS:
        raise BadUrl("The URL must start with https:// or http://.")
    if parsed.userinfo or "@" in url.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0]:
        raise BadUrl("The URL must not hold a user or a password.")
    host = parsed.raw_host.decode("ascii").lower()
    port = parsed.port or _PORTS[parsed.scheme]
    if parsed.port == 0 or port > 65535:
        raise BadUrl("The URL's port is not one.")
    literal = _judge_literal(host, port, allowed)
    if not literal and not _HOST_NAME.fullmatch(host):
        raise BadUrl("The URL has no host, or one that is not a name.")
    if not literal and not allowed and port not in _PORTS.values():
        raise FetchRefused(_REFUSED_PORT)
    return parsed


def _host_of(url: str) -> str:
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _judge_literal(host: str, port: int | None, allowed: tuple[_Network, ...]) -> bool:
    """Whether the host is an address; refuses it when it is one that is not allowed."""
    address = _literal(host)
    if address is None:
        return False
    _judge([address], port, allowed)
    return True


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # Decimal, hexadecimal, octal and shortened notations, which resolvers accept.
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError):
        return None


def _judge(addresses: Sequence[_Address], port: int | None, allowed: tuple[_Network, ...]) -> None:
    """Refuse unless every address may be connected to at this port (None: whatever port)."""
    for address in addresses:
        effective = _effective(address)
        if any(candidate in network for candidate in (address, effective) for network in allowed):
            continue
        if not _is_public(effective):
            raise FetchRefused(_REFUSED)
        if port is not None and port not in _PORTS.values():
            raise FetchRefused(_REFUSED_PORT)


def _effective(address: _Address) -> _Address:
    """Where packets to this address end up: IPv4 inside IPv6 is unwrapped."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: _Address) -> bool:
    # None of these properties is enough alone: is_global admits multicast, is_reserved misses
    # private networks, and both follow tables that differ between versions of Python.
    if (
        not address.is_global
        or address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
    ):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST and not any(address in net for net in _NOT_PUBLIC_V6)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise FetchTimeout(_TIMED_OUT)
    return remaining


def _timeouts(deadline: float) -> dict[str, float]:
    remaining = _remaining(deadline)
    return dict.fromkeys(("connect", "read", "write", "pool"), remaining)


def _lookup(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _resolve(host: str, port: int, deadline: float) -> list[_Address]:
    """Addresses of a host; the system's lookup has no timeout, so it is waited for in a thread."""
    literal = _literal(host)
    if literal is not None:
        return [literal]
    found: list[str] = []
    errors: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(_lookup(host, port))
        except (OSError, UnicodeError) as error:
            errors.append(error)

    thread = threading.Thread(target=look_up, name="fetch-lookup", daemon=True)
    thread.start()
    thread.join(_remaining(deadline))
    if thread.is_alive():
        raise FetchTimeout(_TIMED_OUT)
    if errors or not found:
        raise FetchFailed("The URL's host name cannot be resolved.") from next(iter(errors), None)
    return [ipaddress.ip_address(text) for text in found]


class _GuardedBackend(httpcore.NetworkBackend):
    """Opens connections for one download: only to addresses that were judged, in its time."""

    def __init__(self, allowed: tuple[_Network, ...], deadline: float):
        self._allowed = allowed
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port, self._deadline)
        _judge(addresses, port, self._allowed)
        for number, address in enumerate(addresses):
            # A share for each, so that one address that drops packets does not use up the time.
            share = _remaining(self._deadline) / (len(addresses) - number)
            try:
                stream = self._inner.connect_tcp(
                    str(address), port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses) - 1:
                    raise
            else:
                return _DeadlineStream(stream, self._deadline)
        raise FetchFailed("The URL's host name cannot be resolved.")

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raise FetchRefused(_REFUSED)


class _DeadlineStream(httpcore.NetworkStream):
    """Gives each operation only the time that is left: a drip of bytes cannot renew it."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float):
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _remaining(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _remaining(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, _remaining(self._deadline))
        return _DeadlineStream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
