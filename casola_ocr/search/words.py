"""Which words a text has, for the index and for what is looked for: both must agree.

A word is a run of letters, digits and marks, without its case and accents. Scripts that put no
spaces between words (Chinese, Japanese, Thai, …) give pairs of neighbouring characters, and each
run's last character by itself: two characters are one entry, and one is the beginning of another.
https://www.unicode.org/reports/tr29/ says why there is no better rule without a dictionary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import regex

#: Changed with whatever changes the words of a text: an index of another version is made anew.
VERSION = 1

_WORD = regex.compile(r"[\p{L}\p{N}\p{M}]+")
_NO_WORD = regex.compile(r"[^\p{L}\p{N}\p{M}]+")
_UNSPACED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc]+"
)
#: A word divided at a line's end: what follows goes on in lower case.
_DIVIDED = regex.compile(r"(?<=\p{L})[-\u2010]\r?\n[ \t]*(?=\p{Ll})")
#: Accents and points that a reader may leave out; marks that make another letter stay, as in Hindi.
_ACCENTS = regex.compile(r"[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670]+")


def tidy(text: str) -> str:
    """The text as it is indexed and shown: composed, and with divided words joined."""
    if not text.isascii():
        # Halves of a character, as a file's name may have, are none that can be stored.
        text = text.encode("utf-8", "replace").decode().replace("\u00ad", "")
        text = unicodedata.normalize("NFC", text)
    joined: str = _DIVIDED.sub("", text)
    return joined


def fold(text: str) -> str:
    """Without case and accents; full-width letters and ligatures are their usual ones."""
    if text.isascii():
        return text.lower()
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFKC", text)


def words(text: str) -> Iterator[tuple[str, int, int]]:
    """Each word, folded, and where it stands in `text`, which is tidy: start and end."""
    for match in _WORD.finditer(text):
        found = match.group()
        if found.isascii():
            yield found.lower(), match.start(), match.end()
        else:
            for word, start, end in _parts(found):
                yield word, match.start() + start, match.start() + end


@lru_cache(maxsize=65_536)
def _parts(run: str) -> tuple[tuple[str, int, int], ...]:
    found, at = [], 0
    for match in _UNSPACED.finditer(run):
        if match.start() > at:
            found.append((_folded(run[at : match.start()]), at, match.start()))
        found += _pairs(run, match.start(), match.end())
        at = match.end()
    if at < len(run):
        found.append((_folded(run[at:]), at, len(run)))
    # Of an accent by itself nothing is left.
    return tuple(part for part in found if part[0])


def _folded(word: str) -> str:
    # Some letters are short for several, with a space or a stroke between them.
    folded: str = _NO_WORD.sub("", fold(word))
    return folded


def _pairs(run: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    for at in range(start, end - 1):
        yield _folded(run[at : at + 2]), at, at + 2
    yield _folded(run[end - 1 : end]), end - 1, end


def is_unspaced(word: str) -> bool:
    """Whether it is of a script without spaces: a pair, or one character."""
    return _UNSPACED.fullmatch(word) is not None
