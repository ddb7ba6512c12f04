"""Which language a text is in, from its script and, where several share it, from its words."""

from __future__ import annotations

import tempfile
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import cache
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from typing import Any

from casola_ocr.languages import LANGUAGES

#: Letters below which words say nothing reliable about the language.
_LEAST_LETTERS = 20
#: Japanese has kana among its ideographs, and Chinese has none.
_KANA_SHARE = 0.05
#: The first word of a letter's Unicode name, where it is not the script's name in `LANGUAGES`.
_SCRIPTS = {
    "CANADIAN": "Canadian_Aboriginal",
    "CJK": "Han",
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
}


@cache
def script_of(letter: str) -> str:
    """The script of a letter, as `Language.script` calls it; empty for anything else."""
    if not letter.isalpha():
        return ""
    word = unicodedata.name(letter, "").split(" ", 1)[0].split("-", 1)[0]
    return _SCRIPTS.get(word, word.capitalize())


def detect_language(text: str, among: Collection[str] = ()) -> str | None:
    """The code of the language that most of a text is in, or None where it does not tell.

    With `among` (codes) only these are possible. Safe to call from several threads.
    """
    scripts = Counter(script for letter in text if (script := script_of(letter)))
    if not scripts:
        return None
    script = scripts.most_common(1)[0][0]
    ideographs = scripts["Han"] + scripts["Japanese"]
    # Thousands of ideographs, each worth a word of Latin letters.
    if script in ("Han", "Japanese") or 3 * ideographs > scripts.total():
        script = "Japanese" if scripts["Japanese"] > _KANA_SHARE * ideographs else "Han"
    possible = [
        language.code
        for language in LANGUAGES.values()
        if language.script == script and (not among or language.code in among)
    ]
    if len(possible) <= 1:
        return possible[0] if possible else None
    if script == "Han":
        return _chinese(text, possible)
    if scripts.total() < _LEAST_LETTERS:
        # Of a script that is mostly one language's, that one.
        return None if script == "Latin" else possible[0]
    return _by_words(text, frozenset(possible))


def _chinese(text: str, possible: Collection[str]) -> str:
    """Simplified or traditional, by which of the two old character sets has more of the text."""
    simplified, traditional = (
        len(text.encode(charset, "ignore")) for charset in ("gb2312", "big5")
    )
    code = "zh-hans" if simplified >= traditional else "zh-hant"
    return code if code in possible else "zh"


def _by_words(text: str, possible: frozenset[str]) -> str | None:
    identifier, tables = _identifier()
    # Words in capitals, of which forms and receipts are full, are none that it learned.
    words = " ".join(word.lower() if word.isupper() else word for word in text.split())
    ranked: list[tuple[str, float]] = identifier.rank(words)
    for table in tables:
        table.madvise(MADV_DONTNEED)
    return next((code for code, _ in ranked if code in possible), None)


@cache
def _identifier() -> tuple[Any, tuple[mmap, ...]]:
    """The identifier, and its large tables.

    They lie on the disk, so that a process has of their 60 MB what a text leads to, for as long as
    it is looked at.
    """
    # Half a second: only for those who ask.
    import numpy as np
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    whole: Any = LanguageIdentifier.from_model_file(MODEL_FILE)
    # Only the columns of languages that are asked about.
    known = {language.code for language in LANGUAGES.values()}
    kept = [place for place, code in enumerate(whole.nb_classes) if code in known]
    columns = np.ascontiguousarray(whole.nb_ptc[:, kept])
    weights, steps = _on_disk(columns), _on_disk(whole.tk_nextmove)
    identifier = LanguageIdentifier(
        np.frombuffer(weights, columns.dtype).reshape(columns.shape),
        whole.nb_pc[kept],
        [whole.nb_classes[place] for place in kept],
        memoryview(steps).cast(whole.tk_nextmove.typecode),
        whole.tk_output,
        tk_row=whole.tk_row,
    )
    return identifier, (weights, steps)


def _on_disk(table: Any) -> mmap:
    with tempfile.TemporaryFile() as file:
        file.write(table)
        file.flush()
        return mmap(file.fileno(), 0, access=ACCESS_READ)
