"""The endpoints that an errand's lines can go to, each in its vendor's own words.

A line is read twice: `Endpoint.request` judges it before any line is submitted, as the vendor does
when it looks through a file; `Endpoint.parse` then makes of its body what the synchronous route
makes of it, and what is wrong with that is the line's own error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Protocol

from casola_ocr.errands.lines import LineRefused, Request
from casola_ocr.errands.model import Counts
from casola_ocr.errands.parts import as_json
from casola_ocr.errors import CasolaError, MalformedRequest
from casola_ocr.exports.exporter import Exporter
from casola_ocr.files import spooled
from casola_ocr.jobs import Jobs, NewDocument, Options
from casola_ocr.model import Job, Lane
from casola_ocr.pages import page_values
from casola_ocr.sources import Sources
from casola_ocr.wire import (
    mistral_ocr,
    mistral_pages,
    openai_chat,
    openai_errors,
    openai_parts,
    openai_responses,
)
from casola_ocr.wire.openai_answer import Answer, Page

#: Documents of one line: each is a temporary file, and descriptors are few.
MAX_DOCUMENTS = 100


class Asked(Protocol):
    """What a line asks for."""

    @property
    def documents(self) -> int:
        """How many there are."""

    def open(self, sources: Sources, tenant: str) -> list[NewDocument]:
        """The documents; the caller closes their sources. Raises as `Sources`."""

    def options(self, jobs: Jobs) -> Options:
        """How they are to be read. Raises as `openai_parts.options`."""

    def light(self) -> Asked:
        """The same without the documents: enough for `answer`."""

    def answer(self, jobs: Jobs, exports: Exporter, made: Sequence[Job]) -> tuple[BinaryIO, Counts]:
        """The JSON of the answer from these jobs, which were read, and its tokens.

        It has no line breaks; the caller closes it.
        """


class Endpoint(Protocol):
    """An endpoint; safe to share between threads."""

    path: str

    def request(self, number: int, values: dict[str, Any]) -> Request:
        """The request in a line.

        Raises:
            LineRefused: it is not in order.
        """

    def parse(self, request: Request, model: str) -> Asked:
        """What its body asks for, `model` where it names none.

        Raises:
            CasolaError: as the synchronous route.
        """

    def refusal(self, error: CasolaError) -> tuple[int, dict[str, Any]]:
        """Status and body of an error, as the synchronous route answers it."""


@dataclass(frozen=True)
class _OpenAI(ABC):
    """What OpenAI's endpoints have in common: documents in the parts of a message."""

    asked: openai_chat.ChatRequest | openai_responses.ResponseRequest
    documents: int

    def open(self, sources: Sources, tenant: str) -> list[NewDocument]:
        found: list[NewDocument] = []
        try:
            for wanted in self.asked.wanted:
                found.append(openai_parts.document(sources, tenant, wanted))
        except BaseException:
            close(found)
            raise
        return found

    def options(self, jobs: Jobs) -> Options:
        return openai_parts.options(jobs, self.asked.model, self.asked.words, Lane.BULK)

    def light(self) -> Asked:
        return replace(self, asked=self.asked.light())

    def answer(self, jobs: Jobs, exports: Exporter, made: Sequence[Job]) -> tuple[BinaryIO, Counts]:
        def pages() -> Iterator[Page]:
            for number, job in enumerate(made, 1):
                for page in page_values(jobs.result(job.tenant, job.request_id)[1]):
                    yield number, page

        answer, body = self.body(made, pages())
        counts = Counts(input_tokens=answer.pages, output_tokens=answer.tokens)
        return spooled(iter([as_json(body)])), counts

    @abstractmethod
    def body(self, made: Sequence[Job], pages: Iterator[Page]) -> tuple[Answer, dict[str, Any]]:
        """The answer to these jobs, with what was counted of it."""


@dataclass(frozen=True)
class _Chat(_OpenAI):
    asked: openai_chat.ChatRequest

    def body(self, made: Sequence[Job], pages: Iterator[Page]) -> tuple[Answer, dict[str, Any]]:
        answer = self.asked.answer()
        return answer, openai_chat.completion(made[0], answer, answer.pieces(pages))


@dataclass(frozen=True)
class _Response(_OpenAI):
    asked: openai_responses.ResponseRequest

    def options(self, jobs: Jobs) -> Options:
        # With them the response can be asked for by its ID, like any other.
        wishes = super().options(jobs)
        return replace(wishes, origin=openai_responses.ORIGIN, note=self.asked.note)

    def body(self, made: Sequence[Job], pages: Iterator[Page]) -> tuple[Answer, dict[str, Any]]:
        note = self.asked.note
        answer = openai_responses.answer_of(note)
        return answer, openai_responses.whole(made, note, answer, answer.pieces(pages))


class _OpenAIEndpoint(ABC):
    path: str
    #: The field of a body that holds the documents.
    where: str

    def request(self, number: int, values: dict[str, Any]) -> Request:
        for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
            if not isinstance(values.get(name), kind) or not values[name]:
                raise LineRefused(
                    "missing_required_parameter", f"Missing required parameter: '{name}'.", name
                )
        if values["method"] != "POST":
            raise LineRefused("invalid_method", "The method of every line is 'POST'.", "method")
        if values["url"].removeprefix("/openai") != self.path:
            raise LineRefused(
                "url_mismatch",
                "The URL provided for this request does not match the batch endpoint.",
                "url",
            )
        return Request(number=number, custom_id=values["custom_id"], body=values["body"])

    def parse(self, request: Request, model: str) -> Asked:
        made = self.asked(request.body)
        if made.asked.stream:
            raise MalformedRequest("A line of a batch cannot be streamed.", field="stream")
        if made.documents > MAX_DOCUMENTS:
            raise MalformedRequest(f"A line takes at most {MAX_DOCUMENTS} documents.")
        return made

    @abstractmethod
    def asked(self, body: dict[str, Any]) -> _OpenAI:
        """What a body asks for, as the synchronous route takes it."""

    def refusal(self, error: CasolaError) -> tuple[int, dict[str, Any]]:
        status, told = openai_errors.refusal(error, self.where)
        return status, {"error": told}


class ChatCompletions(_OpenAIEndpoint):
    """OpenAI's ``/v1/chat/completions``."""

    path = "/v1/chat/completions"
    where = "messages"

    def asked(self, body: dict[str, Any]) -> _OpenAI:
        asked = openai_chat.parse(body)
        return _Chat(asked, len(asked.wanted))


class Responses(_OpenAIEndpoint):
    """OpenAI's ``/v1/responses``."""

    path = "/v1/responses"
    where = "input"

    def asked(self, body: dict[str, Any]) -> _OpenAI:
        asked = openai_responses.parse(body)
        return _Response(asked, len(asked.wanted))


@dataclass(frozen=True)
class _Ocr:
    asked: mistral_ocr.OcrRequest
    documents: int = 1

    def open(self, sources: Sources, tenant: str) -> list[NewDocument]:
        if self.asked.file_id:
            found = sources.of_file(tenant, self.asked.file_id)
        else:
            found = sources.of_url(tenant, self.asked.url)
        return [replace(found, file_name=self.asked.file_name or found.file_name)]

    def options(self, jobs: Jobs) -> Options:
        return self.asked.options(Lane.BULK)

    def light(self) -> Asked:
        return _Ocr(self.asked.light())

    def answer(self, jobs: Jobs, exports: Exporter, made: Sequence[Job]) -> tuple[BinaryIO, Counts]:
        (job,) = made
        document = exports.document(job.tenant, job.request_id)
        # With every word's confidence, thousands of pages are more than memory has room for.
        return spooled(mistral_pages.answer(self.asked, document)), Counts()


class Ocr:
    """Mistral's ``/v1/ocr``."""

    path = "/v1/ocr"

    def request(self, number: int, values: dict[str, Any]) -> Request:
        custom_id = values.get("custom_id")
        if not isinstance(custom_id, str | None):
            raise LineRefused("invalid_line", "'custom_id' is a string.", "custom_id")
        if not isinstance(values.get("body"), dict):
            raise LineRefused("invalid_line", "'body' is an object.", "body")
        # As Mistral numbers those that have no name: the first is 0.
        return Request(number=number, custom_id=custom_id or str(number - 1), body=values["body"])

    def parse(self, request: Request, model: str) -> Asked:
        body = request.body
        return _Ocr(mistral_ocr.parse(body if body.get("model") else {**body, "model": model}))

    def refusal(self, error: CasolaError) -> tuple[int, dict[str, Any]]:
        return mistral_ocr.refusal(error)


#: By the path that a client names.
ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint for endpoint in (ChatCompletions(), Responses(), Ocr())
}


def close(documents: Sequence[NewDocument]) -> None:
    """Let go of the bytes of documents."""
    for document in documents:
        if document.source is not None and not isinstance(document.source, bytes):
            document.source.close()
