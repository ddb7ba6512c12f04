"""Which pages of a document are wanted, such as ``1-5,8`` or ``3-``.

Everything that runs counts *positions*: 1 is the first wanted page, and the steps, states and keys
of a job go by them. What a client sees is the page's *number* in its document. Only the normalised
text is needed to get from one to the other: it is ascending, so the end of the document cuts
nothing but its tail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Self

from casola_ocr.errors import BadSelection

#: Longest normalised text: it stands in the record of its job.
MAX_LENGTH = 1000
#: Highest page number; documents with more pages are refused long before.
MAX_NUMBER = 1_000_000

_PART = re.compile(r"([0-9]{1,7})(?:(-)([0-9]{1,7})?)?")
_ALL = "all"


@dataclass(frozen=True)
class Selection:
    """Wanted pages as ranges of numbers: ascending, apart from each other, the last may be open.

    No range at all stands for what the format usually gives: all pages, of a GIF the first.
    """

    ranges: tuple[tuple[int, int | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a client wrote; the order and repetitions do not matter.

        Raises:
            BadSelection: it is not of this form; the detail names the wrong part.
        """
        text = text.strip()
        if not text:
            return cls()
        if text.lower() == _ALL:
            return cls(((1, None),))
        made = cls(_merged(_range(part.strip()) for part in text.split(",")))
        if len(str(made)) > MAX_LENGTH:
            raise BadSelection(
                f"'pages' names too many ranges; written short it has at most {MAX_LENGTH} letters."
            )
        return made

    def __str__(self) -> str:
        """The normalised text, which parses to the same selection."""
        if self.ranges == ((1, None),):
            return _ALL
        return ",".join(_written(first, last) for first, last in self.ranges)

    def number(self, position: int) -> int:
        """The number in the document of the page at this position; positions count from 1.

        Past the last wanted page it goes on counting: there, the caller's page does not exist.
        """
        last = 0
        for first, end in self.ranges or ((1, None),):
            if end is None or position <= end - first + 1:
                return first + position - 1
            position -= end - first + 1
            last = end
        return last + position

    def position(self, number: int) -> int | None:
        """The position of the page with this number; None when it is not wanted."""
        before = 0
        for first, end in self.ranges or ((1, None),):
            if number < first:
                return None
            if end is None or number <= end:
                return before + number - first + 1
            before += end - first + 1
        return None

    def count(self, pages: int) -> int:
        """How many pages are wanted of a document that has so many."""
        return sum(
            max(0, (pages if end is None else min(pages, end)) - first + 1)
            for first, end in self.ranges or ((1, None),)
        )


def _range(part: str) -> tuple[int, int | None]:
    match = _PART.fullmatch(part)
    if match is None:
        raise BadSelection(f"'pages' has a part that is no page or range: {part[:20]!r}.")
    first = int(match[1])
    last = first if match[2] is None else int(match[3]) if match[3] else None
    if first < 1 or max(first, last or 0) > MAX_NUMBER:
        raise BadSelection(f"'pages' counts from 1 to {MAX_NUMBER}; '{part}' does not.")
    if last is not None and last < first:
        raise BadSelection(f"'pages' has a range that ends before it begins: '{part}'.")
    return first, last


def _merged(ranges: Iterable[tuple[int, int | None]]) -> tuple[tuple[int, int | None], ...]:
    found: list[tuple[int, int | None]] = []
    for first, last in sorted(ranges, key=itemgetter(0)):
        if found and (found[-1][1] is None or first <= found[-1][1] + 1):
            before = found[-1][1]
            end = None if before is None or last is None else max(before, last)
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, last))
    return tuple(found)


def _written(first: int, last: int | None) -> str:
    if last is None:
        return f"{first}-"
    return str(first) if first == last else f"{first}-{last}"
