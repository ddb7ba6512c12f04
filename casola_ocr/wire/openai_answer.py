"""From page results to the text that OpenAI's clients get, cut and counted as they asked.

Chat and Responses share it. A whole answer is the same pieces put together, so a stream, and a line
of a file of answers, always add up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from casola_ocr.results import PAGE_BREAK
from casola_ocr.wire.openai_schema import page_json
from casola_ocr.wire.openai_tokens import first_tokens, logprobs

#: Between the texts of two documents.
DOCUMENT_BREAK = "\n\n"
#: Most alternatives in `logprobs`, as at OpenAI.
MAX_ALTERNATIVES = 20

#: Some text, and the entries of `logprobs` for its tokens if they were asked for and are known.
Piece = tuple[str, list[dict[str, Any]] | None]
#: A page's result, and the place of its document in the request, the first is 1.
Page = tuple[int, Mapping[str, Any]]


@dataclass
class Answer:
    """The text of some documents; `usage` and `reason` are right once `pieces` has ended."""

    #: Most tokens of the answer; None = all.
    most: int | None = None
    #: Fields of each page, where JSON was asked for.
    fields: tuple[str, ...] | None = None
    #: Alternatives in `logprobs`; None = no logprobs.
    alternatives: int | None = None
    reason: str = "stop"
    pages: int = 0
    tokens: int = 0

    def pieces(self, pages: Iterable[Page | None]) -> Iterator[Piece | None]:
        """The text of the pages, in their order; None for each None among them."""
        for item in self._texts(pages):
            if item is None:
                yield None
                continue
            text, page = item
            most = len(text) if self.most is None else self.most - self.tokens
            text, count, whole = first_tokens(text, most)
            self.tokens += count
            if text:
                wanted = self.alternatives is not None
                yield text, logprobs(text, page, self.alternatives or 0) if wanted else None
            if not whole:
                # The rest is read all the same and stands in the library.
                self.reason = "length"
                return

    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.pages,
            "completion_tokens": self.tokens,
            "total_tokens": self.pages + self.tokens,
        }

    def _texts(
        self, pages: Iterable[Page | None]
    ) -> Iterator[tuple[str, Mapping[str, Any]] | None]:
        if self.fields:
            yield '{"pages":[', {}
        last = 0
        for item in pages:
            if item is None:
                yield None
                continue
            document, page = item
            self.pages += 1
            if self.fields:
                comma = "," if self.pages > 1 else ""
                yield comma + page_json(page, document, self.fields), page
            elif document == last:
                yield PAGE_BREAK + page["text"], page
            else:
                yield (DOCUMENT_BREAK if document > 1 else "") + page["text"], page
            last = document
        if self.fields:
            yield "]}", {}
