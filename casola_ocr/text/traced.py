"""Text that knows where in the model's output each of its characters was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

#: A special token of a DeepSeek tokenizer, in either kind of bars.
SPECIAL_TOKEN = re.compile(r"<[|｜][^\s<>|｜]{1,40}[|｜]>")
#: Besides them, what no text holds: control characters (a form feed would part pages) and halves of
#: surrogate pairs, which no encoding writes.
_UNWANTED = re.compile(rf"{SPECIAL_TOKEN.pattern}|[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Traced:
    """A text, and for each of its characters the offset in the output that it came from."""

    text: str
    at: Sequence[int]

    @classmethod
    def of(cls, output: str, start: int, end: int) -> Traced:
        return cls(output[start:end], range(start, end))

    @classmethod
    def join(cls, parts: Iterable[Traced], between: str) -> Traced:
        """The parts with a text between them, which came from nowhere: its offsets are -1."""
        texts: list[str] = []
        at: list[int] = []
        for index, part in enumerate(parts):
            if index:
                texts.append(between)
                at.extend([-1] * len(between))
            texts.append(part.text)
            at.extend(part.at)
        return cls("".join(texts), at)

    def slice(self, start: int, end: int) -> Traced:
        return Traced(self.text[start:end], self.at[start:end])

    def strip(self) -> Traced:
        start = len(self.text) - len(self.text.lstrip())
        return self.slice(start, max(start, len(self.text.rstrip())))

    def lines(self) -> list[Traced]:
        """What stands between line feeds."""
        made, start = [], 0
        for line in self.text.split("\n"):
            made.append(self.slice(start, start + len(line)))
            start += len(line) + 1
        return made

    def replaced(
        self, pattern: re.Pattern[str], by: str | Callable[[re.Match[str]], str]
    ) -> Traced:
        """With another text for each match, which is taken for the match's first character."""

        def pieces() -> Iterator[Traced]:
            end = 0
            for match in pattern.finditer(self.text):
                yield self.slice(end, match.start())
                text = by if isinstance(by, str) else by(match)
                yield Traced(text, [self.at[match.start()]] * len(text))
                end = match.end()
            yield self.slice(end, len(self.text))

        return Traced.join(pieces(), "") if pattern.search(self.text) else self

    def unwrapped(self, pattern: re.Pattern[str]) -> Traced:
        """With the first group of each match in its place."""

        def pieces() -> Iterator[Traced]:
            end = 0
            for match in pattern.finditer(self.text):
                yield self.slice(end, match.start())
                yield self.slice(*match.span(1))
                end = match.end()
            yield self.slice(end, len(self.text))

        return Traced.join(pieces(), "") if pattern.search(self.text) else self

    def clean(self) -> Traced:
        """With a space for whatever no text may hold, so that what is left cannot join to more."""
        return self.replaced(_UNWANTED, " ")
