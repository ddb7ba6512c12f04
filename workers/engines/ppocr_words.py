"""From RapidOCR's tokens to words with boxes and confidences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from casola_ocr.pages import Word
from casola_ocr.text.counts import is_ideograph

Box = tuple[int, int, int, int]


class Token(NamedTuple):
    """A piece of a line as RapidOCR splits it: a Latin word, or a single character."""

    text: str
    confidence: float
    corners: Sequence[tuple[float, float]]


def token_confidences(
    text: str, tokens: Sequence[str], characters: Sequence[float]
) -> list[float] | None:
    """The mean of each token's characters; RapidOCR gives one confidence a character of `text`."""
    starts = _locate(text, tokens)
    if starts is None or len(characters) != len(text):
        return None
    return [
        sum(characters[start : start + len(token)]) / len(token)
        for start, token in zip(starts, tokens, strict=True)
    ]


def _locate(text: str, tokens: Iterable[str]) -> list[int] | None:
    """Where each token begins in the text, one after the other; None when one is not there."""
    starts = []
    at = 0
    for token in tokens:
        at = text.find(token, at)
        if at < 0 or not token:
            return None
        starts.append(at)
        at += len(token)
    return starts


def make_words(text: str, tokens: Sequence[Token], size: tuple[int, int]) -> tuple[Word, ...]:
    """Join tokens that belong to one word: the pieces between spaces, save for ideographs.

    Where RapidOCR gave no usable tokens, the words have neither box nor confidence.
    """
    starts = _locate(text, [token.text for token in tokens])
    covered = sum(len(token.text) for token in tokens)
    if not starts or covered != sum(not character.isspace() for character in text):
        return _split_words(text)
    groups: list[tuple[int, list[Token]]] = []
    for start, token in zip(starts, tokens, strict=True):
        joins = (
            groups
            and start > 0
            and not text[start - 1].isspace()
            and not is_ideograph(text[start - 1])
            and not is_ideograph(text[start])
        )
        if joins:
            groups[-1][1].append(token)
        else:
            groups.append((start, [token]))
    words = []
    for start, group in groups:
        word = "".join(token.text for token in group)
        confidence = sum(token.confidence * len(token.text) for token in group) / len(word)
        corners = [corner for token in group for corner in token.corners]
        words.append(
            Word(
                text=word,
                confidence=share(confidence),
                start=start,
                box=clip(corners, size),
            )
        )
    return tuple(words)


def _split_words(text: str) -> tuple[Word, ...]:
    pieces = text.split()
    starts = _locate(text, pieces) or []
    return tuple(
        Word(text=piece, confidence=None, start=start)
        for piece, start in zip(pieces, starts, strict=True)
    )


def clip(corners: Iterable[Sequence[float]], size: tuple[int, int]) -> Box | None:
    """The upright box around the corners, inside the image; None when it lies outside."""
    width, height = size
    xs = [float(corner[0]) for corner in corners]
    ys = [float(corner[1]) for corner in corners]
    x0, y0 = max(0, int(min(xs))), max(0, int(min(ys)))
    x1, y1 = min(width, round(max(xs))), min(height, round(max(ys)))
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        return None
    # Very narrow letters can be rounded to nothing.
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def share(value: float) -> float:
    return round(min(1.0, max(0.0, float(value))), 4)
