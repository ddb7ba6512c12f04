from __future__ import annotations

import math
import random
from itertools import cycle, islice
from pathlib import Path

import pytest

from casola_ocr.corpus import read_manifest
from casola_ocr.text.flags import (
    BANNED_TOKENS,
    COMPRESSIBLE,
    EMPTY_OUTPUT,
    MORE_TEXT_THAN_INK,
    REPEATED_BOXES,
    REPETITION,
    SUFFIX_LOOP,
    TRUNCATED,
    UNTRUSTED,
)
from casola_ocr.text.generated import Generated
from casola_ocr.text.grounding import parse
from casola_ocr.text.loops import loop_flags
from casola_ocr.text.sections import sections_of
from tests.outputs import CHINESE, PAPER, RECEIPT, SIZE, generated, grounded, page_of

BOX = [(10, 10, 900, 900)]
DICE = random.Random(5)
WORDS = ["".join(DICE.choices("aeiounrstlmdkp", k=DICE.randint(2, 9))) for _ in range(400)]
PROSE = " ".join(DICE.choices(WORDS, k=200))


def guard(
    made: str | Generated, *, ink: float | None = 100_000.0, greedy: bool = True
) -> tuple[str, ...]:
    made = generated(made) if isinstance(made, str) else made
    grounding = parse(made.text, SIZE)
    sections = tuple(sections_of(made.text, grounding))
    return loop_flags(made, grounding, sections, ink=ink, greedy=greedy)


def table(rows: list[list[str]], ends: str = "</table>") -> str:
    cells = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return grounded("table", BOX, f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}{ends}")


@pytest.mark.parametrize(
    ("loop", "flag"),
    [
        (PROSE + "\nThe same line again.\n" * 40, SUFFIX_LOOP),
        (PROSE + "\nThe same line again.\n" * 40, COMPRESSIBLE),
        (PROSE + "\none line of it\nand the other line\n" * 30, SUFFIX_LOOP),
        (PROSE + "哈" * 500, SUFFIX_LOOP),
        (PROSE + "a" * 3000, COMPRESSIBLE),
        (PROSE + "\n" + f"{PROSE[:300]}\n" * 6, SUFFIX_LOOP),
        # It goes on after the loop, or counts.
        ("The same line again.\n" * 40 + PROSE[:400], COMPRESSIBLE),
        ("".join(f"{n}. The same line again.\n" for n in range(80)), COMPRESSIBLE),
        (table([["a", "b"]], "<tr>" + "<td></td>" * 200), SUFFIX_LOOP),
        (table([["a", "b"]] + [["", "0", ""]] * 90, ""), SUFFIX_LOOP),
        (table([["Total of all goods", "Total of all goods"]] * 60), COMPRESSIBLE),
        # A block for each round.
        ("".join(grounded("text", [(1, n, 99, n + 9)], "The same line.") for n in range(90)),
         SUFFIX_LOOP),
        ("".join(grounded("text", [(1, 5, 99, 9)], word) for word in WORDS[:3]), REPEATED_BOXES),
        (grounded("text", [(1, 5, 99, 9)] * 3, PROSE), REPEATED_BOXES),
    ],
)  # fmt: skip
def test_a_loop_is_flagged(loop: str, flag: str) -> None:
    assert flag in guard(loop)
    assert flag in UNTRUSTED


@pytest.mark.parametrize(
    "honest",
    [
        PROSE,
        PAPER,
        RECEIPT,
        CHINESE,
        "",
        table([["0"] * 20] * 20),
        table([["0.00"] * 12] * 40),
        table([["name"], *[[""] * 8] * 40]),
        table([["yes", "no", "n/a"]] * 50),
        "\n".join(" ".join(["0"] * 20) for _ in range(20)),
        # Contents with leaders, and a form with lines to write on.
        "\n".join(f"{n}. {WORDS[n]} {WORDS[-n]} {'.' * 60} {7 * n}" for n in range(20)),
        "\n".join(f"{n} {WORDS[n]} {WORDS[-n]} {'. ' * 40} {7 * n}" for n in range(20)),
        "\n".join(f"{word}: {'_' * 60}" for word in WORDS[:20]) + f"\n{'_' * 70}" * 12,
        "\n".join(f"1 x Coffee {n}.50" for n in range(9)),
        "\n".join(["1 x Coffee 2.50"] * 8) + "\nTOTAL 20.00",
        "".join(grounded("text", [(1, 5, 99, 9)], word) for word in WORDS[:2]),
    ],
)
def test_an_honest_page_is_not(honest: str) -> None:
    assert guard(honest, ink=None if honest else 0.0) == ()


@pytest.mark.corpus
def test_no_page_of_the_corpus_is_flagged_whatever_form_its_true_text_has(corpus: Path) -> None:
    pages = [page for entry in read_manifest(corpus) for page in (entry.truth or "").split("\f")]
    pages = [page for page in pages if page.strip()]
    assert len(pages) > 100
    for page in pages:
        lines = [line for line in page.splitlines() if line.strip()]
        blocks = (
            grounded("text", [(n % 900, 1, 990, 1 + n // 900)], text)
            for n, text in enumerate(lines)
        )
        for output in (page, "".join(blocks), table([line.split() for line in lines])):
            assert guard(output, ink=None) == (), page


@pytest.mark.parametrize(
    ("finish", "flags"), [("stop", ()), ("length", (TRUNCATED,)), ("repetition", (REPETITION,))]
)
def test_why_the_model_stopped(finish: str, flags: tuple[str, ...]) -> None:
    assert guard(generated(PROSE, finish=finish)) == flags  # type: ignore[arg-type]


def ranked(ranks: list[int], chance: float, *, told: bool = True) -> Generated:
    count = len(generated(PROSE).starts)
    sure = math.log(chance) if told else None
    return generated(PROSE, sure=sure, ranks=[*ranks, *[1] * (count - len(ranks))])


def test_a_model_that_was_often_banned_from_what_it_wanted_is_flagged() -> None:
    assert guard(ranked([2] * 9, 0.05)) == (BANNED_TOKENS,)
    assert guard(ranked([3] * 9, 0.05, told=False)) == (BANNED_TOKENS,)


@pytest.mark.parametrize(
    "made",
    [
        ranked([2] * 9, 0.45),
        ranked([2] * 9, 0.05, told=False),
        ranked([5] * 3, 0.05),
        generated(PROSE),
        generated(grounded("text", BOX, PROSE), ranks=[9] * 9 + [1] * 900),
    ],
    ids=["ties", "ties of which nobody told the chance", "too few", "no ranks", "in the markup"],
)
def test_ranks_that_tell_of_no_ban(made: Generated) -> None:
    assert guard(made) == ()


def test_sampling_takes_unlikely_tokens_without_a_ban() -> None:
    assert guard(ranked([3] * 9, 0.05), greedy=False) == ()


def test_more_text_than_can_stand_on_the_page() -> None:
    letters = len("".join(PROSE.split()))
    assert guard(PROSE, ink=10.0) == (MORE_TEXT_THAN_INK,)
    assert guard(PROSE, ink=letters / 2) == ()
    assert guard("A short word", ink=0.0) == ()


def test_no_text_though_something_is_on_the_page() -> None:
    assert guard("", ink=300.0) == guard(" \n", ink=None) == (EMPTY_OUTPUT,)
    assert guard(grounded("text", BOX, ""), ink=300.0) == (EMPTY_OUTPUT,)
    assert guard(grounded("image", BOX, ""), ink=300.0) == ()
    assert guard("", ink=5.0) == ()


def test_the_confidence_of_a_flagged_page_is_capped() -> None:
    page = page_of(generated(PROSE, finish="length"))
    assert (page.confidence, page.confidence_low, page.confidence_raw) == (0.5, 0.5, 0.99)
    assert page.flags == (TRUNCATED, "uncalibrated", "low_confidence")
    assert page.lines[0].words[0].confidence == 0.99
    unsure = page_of(generated(PROSE, sure=-2.0, finish="length"))
    assert unsure.confidence == round(math.exp(-2), 4)


def test_the_longest_text_that_a_model_can_write_is_judged() -> None:
    tokens = list(islice(cycle(WORDS[:40]), 30_000))
    outputs = [" ".join(tokens), "a" * 150_000, table([["x"]] * 15_000), "ab\n" * 50_000]
    for output in outputs:
        assert guard(generated(output, ranks=[1] * 150_000))
