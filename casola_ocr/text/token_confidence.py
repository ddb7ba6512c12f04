"""How sure a model is of the words that it wrote, from the probabilities of its tokens.

A word's confidence is the geometric mean of the probabilities of the tokens that it lies in,
``exp(mean(logprob))``; one that lies there only in part counts as well. The model's markup counts
for the layout alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from casola_ocr.pages import Word
from casola_ocr.text.calibration import DIGITS
from casola_ocr.text.counts import is_ideograph
from casola_ocr.text.generated import Generated
from casola_ocr.text.traced import Traced


def words_of(line: Traced, generated: Generated) -> tuple[Word, ...]:
    """The words of a line: what stands between spaces, and each ideograph for itself."""
    return tuple(
        Word(
            text=line.text[start:end],
            confidence=_confidence(generated, [(line.at[start], line.at[end - 1] + 1)]),
            start=start,
        )
        for start, end in _places(line.text)
    )


def layout_confidence(generated: Generated, markup: Sequence[tuple[int, int]]) -> float | None:
    """How sure the model is of the labels and boxes in its markup; None where it told nothing."""
    return _confidence(generated, markup)


def tokens_in(starts: Sequence[int], spans: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The numbers of the tokens of which something lies in the spans, which rise.

    Empty tokens where a span begins belong to its first letter, whose first bytes they are.
    """
    following = 0
    for start, end in spans:
        first = bisect_left(starts, start)
        if first == len(starts) or starts[first] > start:
            first = max(0, bisect_right(starts, start) - 1)
        last = bisect_left(starts, end)
        yield from range(max(first, following), last)
        following = max(last, following)


def _places(text: str) -> Iterator[tuple[int, int]]:
    start = None
    for index, character in enumerate(text):
        alone = is_ideograph(character)
        if start is not None and (alone or character.isspace() or is_ideograph(text[index - 1])):
            yield start, index
            start = None
        if start is None and not character.isspace():
            start = index
    if start is not None:
        yield start, len(text)


def _confidence(generated: Generated, spans: Sequence[tuple[int, int]]) -> float | None:
    told = generated.logprobs
    if told is None:
        return None
    values = [told[token] for token in tokens_in(generated.starts, spans)]
    if not values or any(math.isnan(value) for value in values):
        return None
    return round(math.exp(min(0.0, math.fsum(values) / len(values))), DIGITS)
