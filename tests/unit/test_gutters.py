"""Lines across the gutter between columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from casola_ocr.pages import Line, Word
from casola_ocr.text.gutters import split_lines

WIDTH, HEIGHT, PITCH = 10, 20, 30


def line(text: str, x: int = 0, row: int = 0, confidence: float | None = 0.9) -> Line:
    """A character is 10 pixels wide, each of the spaces too."""
    words, at = [], 0
    squeezed = ""
    y = PITCH * row
    for part in text.split(" "):
        if part:
            squeezed += " " * bool(squeezed)
            box = (x + WIDTH * at, y, x + WIDTH * (at + len(part)), y + HEIGHT)
            words.append(Word(text=part, confidence=confidence, start=len(squeezed), box=box))
            squeezed += part
        at += len(part) + 1
    box = (x, y, x + WIDTH * len(text), y + HEIGHT)
    return Line(text=squeezed, confidence=confidence, box=box, words=tuple(words))


def columns(*xs: int, rows: Sequence[int] = (0, 1, 2, 4, 5, 6)) -> list[Line]:
    return [line("some prose", x, row) for row in rows for x in xs]


def texts(lines: Sequence[Line]) -> list[str]:
    return [one.text for one in lines]


def test_a_line_across_the_gutter_is_cut_in_the_middle_of_it() -> None:
    across = line("this prose    more prose", row=3)
    *_, left, right = split_lines([*columns(0, 140), across])
    assert (left.text, right.text) == ("this prose", "more prose")
    assert (left.box, right.box) == ((0, 90, 120, 110), (120, 90, 240, 110))
    assert [word.start for word in right.words] == [0, 5]
    assert right.words[0].box == (140, 90, 180, 110)


def test_a_line_across_two_gutters_is_cut_at_both() -> None:
    across = line("this prose    more prose    last prose", row=3)
    found = split_lines([*columns(0, 140, 280), across])
    assert texts(found[-3:]) == ["this prose", "more prose", "last prose"]
    assert [one.words[0].start for one in found[-3:]] == [0, 0, 0]


def test_beside_a_short_word_the_wider_gap_is_the_gutter() -> None:
    across = line("here is a    more prose", row=3)
    found = split_lines([*columns(0, 130), across])
    assert texts(found[-2:]) == ["here is a", "more prose"]


def test_a_gap_in_a_line_is_no_gutter_where_its_neighbours_run_through() -> None:
    across = line("this prose    more prose", row=3)
    whole = [line("prose without any gap here", row=row) for row in (0, 1, 2, 4, 5, 6)]
    assert split_lines([*whole, across]) == [*whole, across]


def test_two_neighbours_on_each_side_are_too_few() -> None:
    across = line("this prose    more prose", row=2)
    few = columns(0, 140, rows=(1, 3))
    assert split_lines([*few, across]) == [*few, across]


def test_neighbours_far_above_do_not_count() -> None:
    across = line("this prose    more prose", row=3)
    far = [replace(one, box=_moved(one, -400)) for one in columns(0, 140)]
    assert split_lines([*far, across]) == [*far, across]


def _moved(one: Line, down: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = one.box
    return x0, y0 + down, x1, y1 + down


def test_each_part_has_the_confidence_of_its_own_words() -> None:
    across = line("this prose    more prose", row=3)
    words = [
        replace(word, confidence=sure)
        for word, sure in zip(across.words, (0.8, 0.8, 0.4, None), strict=True)
    ]
    *_, left, right = split_lines([*columns(0, 140), replace(across, words=tuple(words))])
    assert (left.confidence, right.confidence) == (0.8, 0.4)


@pytest.mark.parametrize("words", [False, True])
def test_lines_without_words_or_boxes_stay_whole(words: bool) -> None:
    across = line("this prose    more prose", row=3)
    bare = tuple(replace(word, box=None) for word in across.words) if words else ()
    across = replace(across, words=bare)
    assert split_lines([*columns(0, 140), across])[-1] == across


def test_nothing_is_nothing() -> None:
    assert split_lines([]) == []
