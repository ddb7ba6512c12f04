"""What an engine's confidence means: how often words with it are right.

An engine's own figure is no probability: PP-OCRv6 is 0.8 sure of words of which half are wrong. The
tables in ``calibration.json`` were fitted by ``benchmarks/calibration.py`` on pages with known text
(isotonic regression: Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass
probability estimates", 2002) and hold for the engine whose name they carry; an engine without a
table stays uncalibrated. An operator's own, made by ``casola-ocr calibrate``, win over them. How a
table is fitted: see `casola_ocr.text.reliability`.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from casola_ocr.errors import ConfigurationError
from casola_ocr.pages import Line
from casola_ocr.text.confidence import page_confidence

#: Of every confidence.
DIGITS = 4

#: Raw confidence and chance of being right, both rising.
Table = Sequence[tuple[float, float]]


_Share = Annotated[float, Field(ge=0, le=1)]
_Row = tuple[_Share, _Share]
_FILE = TypeAdapter(dict[str, Annotated[list[_Row], Field(min_length=1)]])


@cache
def _tables() -> dict[str, Table]:
    shipped = resources.files("casola_ocr.text").joinpath("calibration.json").read_bytes()
    return {**_FILE.validate_json(shipped)}


def use_tables(path: Path) -> None:
    """Let a file's tables win over the shipped ones: in this process and those forked from it.

    To be called before any page is read.

    Raises:
        ConfigurationError: as `read_tables`.
    """
    _tables().update(read_tables(path))


def read_tables(path: Path) -> dict[str, Table]:
    """The tables of a file: engine → rows of raw confidence and chance.

    Raises:
        ConfigurationError: it cannot be read, or is damaged.
    """
    try:
        found = _FILE.validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"The calibration tables in {path} cannot be read: {error.strerror}."
        ) from error
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, problem["loc"]))
        raise ConfigurationError(
            f"{path} holds no calibration tables: {f'{place}: ' if place else ''}{problem['msg']}."
        ) from error
    for name, table in found.items():
        if not all(low < high and one <= two for (low, one), (high, two) in pairwise(table)):
            raise ConfigurationError(f"{path} holds no calibration tables: {name} does not rise.")
    return {**found}


def write_tables(path: Path, tables: Mapping[str, Table]) -> None:
    """A row for each engine, as people read it; the file is there when all of it is."""
    rows = (f"  {json.dumps(name)}: {json.dumps(table)}" for name, table in tables.items())
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
    unfinished.replace(path)


def has_calibration(engine: str) -> bool:
    """Whether a table was fitted for the engine of this name."""
    return engine in _tables()


def calibrate(engine: str, confidence: float) -> float:
    """The chance that a word is right of which the engine is this sure."""
    table = _tables().get(engine)
    return chance(table, confidence) if table else round(confidence, DIGITS)


def chance(table: Table, confidence: float) -> float:
    """What a table makes of a raw confidence: its nearest rows, and a straight line between."""
    at = bisect_right(table, (confidence, 1.0))
    if at == 0:
        return table[0][1]
    if at == len(table):
        return table[-1][1]
    (low, low_chance), (high, high_chance) = table[at - 1], table[at]
    part = (confidence - low) / (high - low) if high > low else 0.0
    return round(low_chance + part * (high_chance - low_chance), DIGITS)


def calibrated(lines: Sequence[Line], engine: str) -> list[Line]:
    """The lines with every word's confidence calibrated, and the lines' made from them.

    A line whose words have none has its own calibrated. The first figure that an engine gave stays
    as `confidence_raw`.
    """
    made = []
    for line in lines:
        words = tuple(
            replace(
                word,
                confidence=calibrate(engine, word.confidence),
                confidence_raw=word.confidence
                if word.confidence_raw is None
                else word.confidence_raw,
            )
            if word.confidence is not None
            else word
            for word in line.words
        )
        confidence, _ = page_confidence((word.text, word.confidence) for word in words)
        if confidence is None and line.confidence is not None:
            confidence = calibrate(engine, line.confidence)
        made.append(replace(line, words=words, confidence=confidence))
    return made
