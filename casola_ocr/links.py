"""Links to files that need no token: whoever has one can read, or send, the file for a while."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from urllib.parse import quote, urlsplit

from casola_ocr.errors import BadUrl, Forbidden, NotFound
from casola_ocr.files import File, Files
from casola_ocr.signing import Signer, is_over

_READ = "file"
_SEND = "send"
_PATH = re.compile(r"/files/([A-Za-z0-9_.-]+)(?:/[^/]*)?")


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A file that is to be sent; all that there will be known of it but its bytes."""

    tenant: str
    file_id: str
    file_name: str
    #: Seconds that it is kept.
    expires_in: int
    #: Of the upload that takes its parts; empty where it is sent whole.
    upload_id: str = ""


class FileLinks:
    """Makes links and follows them. Safe to share between threads and greenlets."""

    def __init__(self, signer: Signer, files: Files):
        self._signer = signer
        self._files = files

    def path(self, tenant: str, file_id: str, file_name: str, *, expires_at: int) -> str:
        """The path of a link that is over at `expires_at` (ms); the file need not exist yet."""
        values = {"tenant": tenant, "file_id": file_id}
        sealed = self._signer.seal(_READ, values, expires_at=expires_at)
        return f"/files/{sealed}/{quote(file_name, safe='')}"

    def follow(self, sealed: str) -> File:
        """The file that a link's sealed part leads to.

        Raises:
            Forbidden: the link is not one of ours, or it is over.
            NotFound: the file does not exist any more, or not yet.
        """
        values = self._signer.unseal(_READ, sealed)
        if values is None or is_over(values):
            raise Forbidden("The link to this file is not valid, or not any more.")
        return self._files.get(values["tenant"], values["file_id"])

    def seal(self, sending: Sending, *, expires_at: int) -> str:
        """What allows to send this file until `expires_at` (ms), and says what it is."""
        return self._signer.seal(_SEND, asdict(sending), expires_at=expires_at)

    def unseal(self, sealed: str) -> Sending:
        """The inverse of `seal`.

        Raises:
            Forbidden: it is not one of ours, or it is over.
        """
        values = self._signer.unseal(_SEND, sealed)
        if values is None or is_over(values):
            raise Forbidden("The link to send this file to is not valid, or not any more.")
        return Sending(**{name: values[name] for name in Sending.__dataclass_fields__})

    def recognise(self, tenant: str, url: str) -> File | None:
        """The file behind a URL that a tenant sent, None if it is no link of ours.

        Only the seal tells, not the host: a server has many names. A tenant's own file is found
        even when its link is over.

        Raises:
            BadUrl: it is a link of ours that is over, or whose file is gone.
        """
        try:
            match = _PATH.fullmatch(urlsplit(url).path)
        except ValueError:
            return None
        values = self._signer.unseal(_READ, match[1]) if match else None
        if values is None:
            return None
        if is_over(values) and values["tenant"] != tenant:
            raise BadUrl("The link to the file is over.")
        try:
            return self._files.get(values["tenant"], values["file_id"])
        except NotFound as error:
            raise BadUrl("The link leads to a file that does not exist.") from error
