"""The loop guard: what tells that a model repeats itself, stopped early or made text up.

Language models that read pages fall into loops: the same line, the same empty cell, the same box
until no token is left. Each signal is a flag of its own. Where the thresholds come from, and what
honest pages reach, is in docs/why.md.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

from casola_ocr.text import flags
from casola_ocr.text.generated import Generated
from casola_ocr.text.grounding import PICTURES, Grounding
from casola_ocr.text.grouping import TABLE
from casola_ocr.text.sections import Section
from casola_ocr.text.token_confidence import tokens_in

#: Of a page that the guard flagged the confidence is no higher: half of its words may be made up.
MOST_CONFIDENCE = 0.5

#: Characters that are compressed at once, from each half of them on: few for a loop in a long
#: text, many for one of whole passages. Half as many tell nothing.
WINDOWS = (1000, 8000)
#: How many times smaller it becomes. Whisper takes 2.4, for texts of half a minute.
PROSE_RATIO, TABLE_RATIO = 3.0, 10.0
#: Letters of a line or a cell that is compressed: tables repeat numbers, units and yes or no.
_LEAST_LETTERS = 4
#: Leaders and lines to write on.
_RUN = re.compile(r"([^\w\n]|_)(?:[ \t]?\1){3,}")
#: How a table ends after its last row.
_TABLE_END = re.compile(r"(?:\s*</t(?:able|body|foot)>)+\Z")
_LETTER = re.compile(r"[^\W\d_]")

#: Characters at the end in which a repeated suffix is looked for, and of which it has to have some.
TAIL, LEAST_SUFFIX = 8000, 400
#: So often a suffix is repeated in a loop: words; a passage of so many characters; and whatever
#: rows of a table, or lines without a letter, may honestly have in common.
REPEATS, LONG_PERIOD, LONG_REPEATS, ROW_REPEATS = 10, 100, 5, 64

#: Parts of a page at one place. Two may be: a picture and what is written in it.
SAME_BOXES = 3

#: Of the content's tokens, and at least so many: lines of a form or a bill may be banned as well.
BANNED_SHARE, LEAST_BANNED = 0.01, 4
#: A token of rank 2 that is likelier than this was as likely as the first, and no ban was needed.
_TIED = math.log(0.2)

#: Characters of text for each that there is ink for, and what small pages have in excess.
TEXT_PER_INK, LEAST_EXCESS = 3.0, 200
#: Ink (in characters) below which a page may be dust and folds.
LEAST_INK = 30.0


def loop_flags(
    generated: Generated,
    grounding: Grounding,
    sections: Sequence[Section],
    *,
    ink: float | None,
    greedy: bool,
) -> tuple[str, ...]:
    """The flags that a model's output about a page deserves, in a fixed order.

    `ink` is what `casola_ocr.documents.ink.ink_of` says of the page, None where nobody measured it;
    `greedy` tells that tokens were not sampled. A pure function, in time proportional to the text.
    """
    text_length = sum(len("".join(section.text.split())) for section in sections)
    checks = {
        flags.TRUNCATED: generated.finish == "length",
        flags.REPETITION: generated.finish == "repetition",
        flags.COMPRESSIBLE: _is_compressible(sections),
        flags.SUFFIX_LOOP: _ends_in_loop(generated.text, grounding),
        flags.REPEATED_BOXES: _repeats_boxes(grounding),
        flags.BANNED_TOKENS: greedy and _was_banned(generated, grounding),
        flags.MORE_TEXT_THAN_INK: ink is not None
        and text_length > TEXT_PER_INK * ink + LEAST_EXCESS,
        flags.EMPTY_OUTPUT: not text_length
        and (ink is None or ink > LEAST_INK)
        and not any(section.label in PICTURES for section in sections),
    }
    return tuple(flag for flag, raised in checks.items() if raised)


def compression_ratio(text: str) -> float:
    """How many times smaller a text becomes. Every script counts a byte for each character."""
    data = text.encode("utf-32-le", "surrogatepass")[::4]
    return len(data) / len(zlib.compress(data)) if data else 0.0


def _is_compressible(sections: Sequence[Section]) -> bool:
    tables = [_worded(section.text) for section in sections if section.label == TABLE]
    prose = [_worded(section.text) for section in sections if section.label != TABLE]
    # Besides each block all of them as one: a loop may give every line a block.
    for texts, limit in ((prose, PROSE_RATIO), (tables, TABLE_RATIO)):
        for text in {*texts, "\n".join(filter(None, texts))}:
            if any(compression_ratio(part) > limit for part in _windows(text)):
                return True
    return False


def _worded(text: str) -> str:
    """The lines and cells that have words, without what print repeats."""
    pieces = _RUN.sub(r"\1", text).replace("\t", "\n").split("\n")
    return "\n".join(piece for piece in pieces if len(_LETTER.findall(piece)) >= _LEAST_LETTERS)


def _windows(text: str) -> Iterator[str]:
    for size in WINDOWS:
        for start in range(0, len(text), size // 2):
            part = text[start : start + size]
            if len(part) >= size // 2:
                yield part


def _ends_in_loop(output: str, grounding: Grounding) -> bool:
    lines: list[str] = []
    length = 0
    for passage in reversed(grounding.passages):
        content = output[max(passage.start, passage.end - TAIL) : passage.end]
        lines += (" ".join(line.split()) for line in reversed(content.splitlines()) if line.strip())
        length += len(content)
        if length > TAIL:
            break
    tail = _TABLE_END.sub("", "\n".join(reversed(lines))[-TAIL:])
    last = grounding.passages[-1].label if grounding.passages else ""
    in_table = last == TABLE or tail.rfind("<td") > tail.rfind("</table>")
    return _repeats_suffix(tail, in_table)


def _repeats_suffix(tail: str, in_table: bool) -> bool:
    """Whether the tail ends with one string again and again, and with nothing else.

    Of the reversed tail the Z-algorithm (Gusfield, 1997) tells for each period how far it reaches.
    """
    text = tail[::-1]
    reach = _common_prefixes(text)
    for period in range(1, len(text) // LONG_REPEATS + 1):
        covered = period + reach[period]
        repeats = covered / period
        if covered < LEAST_SUFFIX or repeats < LONG_REPEATS:
            continue
        if in_table or not _LETTER.search(text, 0, period):
            needed = ROW_REPEATS
        else:
            needed = LONG_REPEATS if period >= LONG_PERIOD else REPEATS
        if repeats >= needed:
            return True
    return False


def _common_prefixes(text: str) -> list[int]:
    """For each place the length of what the text there has in common with its beginning."""
    reach = [0] * len(text)
    start = end = 0
    for at in range(1, len(text)):
        length = min(reach[at - start], end - at) if at < end else 0
        while at + length < len(text) and text[length] == text[at + length]:
            length += 1
        reach[at] = length
        if at + length > end:
            start, end = at, at + length
    return reach


def _repeats_boxes(grounding: Grounding) -> bool:
    boxes = Counter(box for passage in grounding.passages for box in passage.boxes)
    return max(boxes.values(), default=0) >= SAME_BOXES


def _was_banned(generated: Generated, grounding: Grounding) -> bool:
    ranks, logprobs = generated.ranks, generated.logprobs
    if ranks is None:
        return False
    markup = set(tokens_in(generated.starts, grounding.markup))
    content = [token for token in range(len(ranks)) if token not in markup]
    banned = sum(
        ranks[token] > 2 or (ranks[token] == 2 and logprobs is not None and logprobs[token] < _TIED)
        for token in content
    )
    return banned >= max(LEAST_BANNED, BANNED_SHARE * len(content))
