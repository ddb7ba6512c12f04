"""Measure an engine on a corpus: seconds a page, character error rate and words found, by kind.

python -m benchmarks.accuracy --corpus ../shared/corpus --limit 3 --kind receipt --kind form
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image, ImageOps, ImageSequence

from workers.engines import make_engine

_UNSPACED = ("ja", "ko", "zh")


def normalise(text: str, language: str, case_insensitive: bool) -> str:
    """Bring text to what the corpus compares: see its README."""
    text = unicodedata.normalize("NFC", text)
    text = " ".join(re.sub(r"[-\u00ad]\s*\n\s*", "", text).split())
    if language in _UNSPACED:
        text = text.replace(" ", "")
    return text.casefold() if case_insensitive else text


def distance(one: str, other: str) -> int:
    """Levenshtein's distance, a row of bits at a time (Myers 1999, Hyyrö 2003)."""
    if not one:
        return len(other)
    places: dict[str, int] = defaultdict(int)
    for index, character in enumerate(one):
        places[character] |= 1 << index
    mask, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    plus, minus, score = mask, 0, len(one)
    for character in other:
        equal = places.get(character, 0)
        zero = (((equal & plus) + plus) ^ plus) | equal | minus
        up, down = minus | (~(zero | plus) & mask), plus & zero
        score += bool(up & last) - bool(down & last)
        up, down = ((up << 1) | 1) & mask, (down << 1) & mask
        plus, minus = down | (~(zero | up) & mask), up & zero
    return score


def character_errors(truth: str, text: str) -> float:
    """Edits for each character of the truth."""
    return distance(truth, text) / max(len(truth), 1)


def words_f1(truth: str, text: str) -> float:
    """How far the words agree, wherever on the page they stand."""
    wanted, found = Counter(truth.split()), Counter(text.split())
    return 2 * (wanted & found).total() / max(wanted.total() + found.total(), 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--engine", default="pp-ocrv6")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, default=0, help="files of each kind; 0: all")
    parser.add_argument("--kind", action="append", help="only this kind; may be repeated")
    arguments = parser.parse_args()

    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (arguments.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(row)
        wanted = not arguments.kind or entry["kind"] in arguments.kind
        if wanted and entry["text"] and not entry["file"].endswith(".pdf"):
            by_kind[entry["kind"]].append(entry)

    engine = make_engine(arguments.engine, arguments.threads)
    print(f"{engine.version}, {arguments.threads} thread(s); {arguments.corpus.name}")
    print(f"{'kind':<14}{'pages':>6}{'s/page':>8}{'CER':>8}{'words F1':>10}")
    for kind, entries in by_kind.items():
        seconds: list[float] = []
        errors: list[float] = []
        words: list[float] = []
        for entry in entries[: arguments.limit or None]:
            texts = []
            with Image.open(arguments.corpus / entry["file"]) as picture:
                for number, frame in enumerate(ImageSequence.Iterator(picture), start=1):
                    image = ImageOps.exif_transpose(frame).convert("RGB")
                    language = entry["language"]
                    result = engine.read(image, page=number, attempt=1, language=language)
                    seconds.append(result.seconds)
                    texts.append(result.text)
            truth = (arguments.corpus / entry["text"]).read_text(encoding="utf-8")
            alike = (entry["language"], bool(entry.get("case_insensitive")))
            truth, text = normalise(truth, *alike), normalise("\n".join(texts), *alike)
            errors.append(character_errors(truth, text))
            if entry["language"] not in _UNSPACED:
                words.append(words_f1(truth, text))
        f1 = f"{fmean(words):.3f}" if words else "-"
        print(
            f"{kind:<14}{len(seconds):>6}{fmean(seconds):>8.2f}{fmean(errors):>8.3f}{f1:>10}",
            flush=True,
        )


if __name__ == "__main__":
    main()
