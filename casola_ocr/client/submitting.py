"""Submissions: small documents within the request, large ones by an upload of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx

from casola_ocr.client.errors import ClientError, Refused, refusal
from casola_ocr.client.options import as_fields
from casola_ocr.client.patience import Patience
from casola_ocr.client.results import UPLOAD_FORM, UploadForm, check, parsed
from casola_ocr.client.sources import Document
from casola_ocr.client.transport import Call, Transport

JOBS, UPLOADS = "/api/v1/jobs", "/api/v1/uploads"


def new_key() -> str:
    """An Idempotency-Key that nobody used before."""
    return uuid4().hex


@dataclass(frozen=True)
class Submitting:
    """Sends documents. More than `inline_bytes` in one request go straight to the object store."""

    transport: Transport
    patience: Patience
    inline_bytes: int

    async def submit(
        self, documents: Sequence[Document], options: Mapping[str, Any], key: str, *, wait: int = 0
    ) -> httpx.Response:
        """The answer to a submission, which is made once however often it has to be sent.

        With `wait` it comes when the job has ended, at the latest after so many seconds.

        Raises:
            ValueError: there are files and URLs.
            OSError: a file cannot be read.
        """
        headers = {"Idempotency-Key": key} | ({"Prefer": f"wait={wait}"} if wait else {})
        call = Call(method="POST", address=JOBS, headers=headers)
        urls = [document.url for document in documents if document.url]
        if urls and len(urls) < len(documents):
            raise ValueError("a batch has files or URLs, not both")
        if urls:
            return await self._send(replace(call, json=_named("url", urls, options)))
        if sum(document.size() for document in documents) <= self.inline_bytes:
            return await self._send(replace(call, form=as_fields(options), files=documents))
        uploads = [
            await self._upload(document, f"{key}-{number}")
            for number, document in enumerate(documents)
        ]
        named = _named("upload_id", [upload.upload_id for upload in uploads], options)
        response = await self._send(replace(call, json=named))
        for upload in uploads:
            # Or it ends by itself, hours later.
            with suppress(ClientError):
                await self._send(Call(method="DELETE", address=f"{UPLOADS}/{upload.upload_id}"))
        return response

    async def _upload(self, document: Document, key: str) -> UploadForm:
        asked = {"file_name": document.name, "size": document.size()}
        headers = {"Idempotency-Key": key}
        made = await self._send(Call(method="POST", address=UPLOADS, json=asked, headers=headers))
        form = parsed(UPLOAD_FORM, made)

        async def attempt() -> None:
            response = await self.transport.send(
                Call(method="POST", address=form.url, form=form.fields, files=[document])
            )
            if response.status_code >= 300:
                raise _of_store(response)

        await self.patience.until_done(attempt)
        return form

    async def _send(self, call: Call) -> httpx.Response:
        return await self.patience.call(call, check)


def _named(kind: str, names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """A submission's JSON; one document is a job, several are a batch."""
    named = {kind: names[0]} if len(names) == 1 else {f"{kind}s": list(names)}
    return {**{name: value for name, value in options.items() if value is not None}, **named}


def _of_store(response: httpx.Response) -> Refused:
    """A refusal of an upload, by the service or by an object store that knows no codes of ours."""
    error = refusal(response)
    if not error.code.startswith("http_"):
        return error
    error.detail = f"The object store answered {response.status_code} to the upload."
    return error
