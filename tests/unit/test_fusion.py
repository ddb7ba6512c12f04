"""Two readings of one page: whose words are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.pages import Line, Word
from casola_ocr.text.fusion import fuse

WIDTH, HEIGHT = 10, 20


def line(text: str, *sure: float | None, x: int = 0, y: int = 0) -> Line:
    """Words 10 pixels a character; `sure` is each word's confidence, or one for all of them."""
    names = text.split()
    confidences = sure if len(sure) == len(names) else sure * len(names)
    words = []
    at = 0
    for name, confidence in zip(names, confidences, strict=True):
        box = (x + WIDTH * at, y, x + WIDTH * (at + len(name)), y + HEIGHT)
        words.append(
            Word(text=name, confidence=confidence, start=at, box=box, confidence_raw=confidence)
        )
        at += len(name) + 1
    known = [value for value in confidences if value is not None]
    return Line(
        text=" ".join(names),
        confidence=sum(known) / len(known) if known else None,
        box=(x, y, x + WIDTH * len(" ".join(names)), y + HEIGHT),
        words=tuple(words),
    )


def texts(lines: Sequence[Line]) -> list[str]:
    return [one.text for one in lines]


def check(found: Sequence[Line]) -> None:
    for one in found:
        spoken = [one.text[word.start : word.start + len(word.text)] for word in one.words]
        assert spoken == [word.text for word in one.words]
        assert "".join(spoken) == "".join(one.text.split())
        for confidence in (one.confidence, *(word.confidence for word in one.words)):
            assert confidence is None or 0 <= confidence <= 1


def test_of_two_words_in_one_place_the_surer_one_is_taken() -> None:
    (found,) = fuse(
        [line("invoice numbcr 1499", 0.9, 0.5, 0.95)], [line("invo1ce number 1499", 0.8)]
    )
    assert found.text == "invoice number 1499"
    check([found])


def test_what_both_read_is_surer_than_either_thought() -> None:
    (found,) = fuse([line("total", 0.8)], [line("total", 0.7)])
    assert found.words[0].confidence == pytest.approx(0.94)
    assert found.confidence == pytest.approx(0.94)


def test_the_raw_confidence_is_that_of_the_engine_whose_word_was_taken() -> None:
    (found,) = fuse([line("total sum", 0.8)], [line("total sun", 0.7)])
    assert [word.confidence_raw for word in found.words] == [0.8, 0.8]


def test_words_that_only_the_second_saw_on_a_line_are_kept_when_it_is_sure() -> None:
    for sure, expected in ((0.95, "alpha beta omega"), (0.3, "alpha omega")):
        second = line("alpha beta omega", 0.95, sure, 0.95)
        first = [replace(line("alpha omega", 0.95), box=second.box)]
        assert texts(fuse(first, [second])) == [expected]


def test_words_before_the_first_and_after_the_last_are_kept_as_well() -> None:
    second = line("one two three four", 0.9)
    for text in ("two three four", "one two three"):
        first = replace(line(text, 0.95), box=second.box)
        assert texts(fuse([first], [second])) == ["one two three four"]


def test_several_words_in_the_place_of_one_are_taken_once_and_in_order() -> None:
    first = [line("alpha beta stop delta omega", 0.6)]
    second = [line("alpha beta x y z delta omega", 0.9)]
    assert texts(fuse(first, second)) == ["alpha beta x y z delta omega"]


def test_no_word_is_cut_where_the_readings_have_their_spaces_elsewhere() -> None:
    first = [line("thequick brown", 0.9)]
    second = [line("the quickbrown", 0.6)]
    assert texts(fuse(first, second)) == ["thequick brown"]


def test_a_line_that_only_the_second_saw_is_kept_when_it_is_text() -> None:
    first = [line("upper", 0.9)]
    assert texts(fuse(first, [line("lower", 0.9, y=100)])) == ["upper", "lower"]
    assert texts(fuse(first, [line("lower", 0.5, y=100)])) == ["upper"]
    assert texts(fuse(first, [line("|~ --", 0.9, y=100)])) == ["upper"]


def test_the_box_of_what_is_left_of_a_line_holds_its_words_alone() -> None:
    first = [line("seen", 0.9)]
    *_, found = fuse(first, [line("seen unseen", 0.9)])
    assert (found.text, found.box) == ("unseen", (50, 0, 110, 20))


def test_what_the_second_took_for_one_line_is_two_where_the_first_saw_two() -> None:
    across = line("left column right column", 0.9)
    boxes = [(0, 0, 115, 20), (115, 0, 240, 20)]
    assert texts(fuse([], [across], boxes)) == ["left column", "right column"]
    assert texts(fuse([], [across])) == ["left column right column"]


def test_a_word_that_lies_between_two_lines_goes_to_the_one_that_it_covers_most() -> None:
    first = [line("upper", 0.3), line("lower", 0.3, y=22)]
    second = [line("lower", 0.9, y=16)]
    found = fuse(first, second)
    assert [one.confidence for one in found] == [0.3, pytest.approx(0.93)]


def test_what_was_several_lines_to_the_second_is_put_in_order_from_left_to_right() -> None:
    first = [line("left right", 0.5)]
    second = [line("right", 0.9, x=50), line("left", 0.9)]
    assert texts(fuse(first, second)) == ["left right"]
    assert fuse(first, second)[0].words[0].confidence == pytest.approx(0.95)


def test_words_from_right_to_left_stay_in_the_order_in_which_they_came() -> None:
    second = line("שלום עולם", 0.9)
    second = replace(
        second,
        words=tuple(
            replace(word, box=box)
            for word, box in zip(second.words, [(50, 0, 90, 20), (0, 0, 40, 20)], strict=True)
        ),
    )
    assert texts(fuse([line("niv oiw", 0.2)], [second])) == ["שלום עולם"]


def test_words_that_the_second_wrote_without_spaces_get_none() -> None:
    whole = "ภาษาไทย"
    words = (
        Word(text="ภาษา", confidence=0.9, start=0, box=(0, 0, 40, 20)),
        Word(text="ไทย", confidence=0.9, start=4, box=(40, 0, 70, 20)),
    )
    second = Line(text=whole, confidence=0.9, box=(0, 0, 70, 20), words=words)
    assert texts(fuse([line("nrulwp", 0.1)], [second])) == [whole]


def test_a_reading_that_is_wrong_altogether_gives_way_to_a_trusted_one() -> None:
    assert texts(fuse([line("npuBeT", 0.3)], [line("привет", 0.9)])) == ["привет"]
    assert texts(fuse([line("hello", 0.9)], [line("пеИо", 0.3)])) == ["hello"]


def test_a_word_without_a_confidence_is_as_sure_as_its_line() -> None:
    first = replace(line("total", None), confidence=0.9)
    assert texts(fuse([first], [line("tota1", 0.5)])) == ["total"]
    assert texts(fuse([replace(first, confidence=0.2)], [line("totals", 0.9)])) == ["totals"]


def test_lines_without_words_stay_as_they_are() -> None:
    bare = replace(line("total", 0.9), words=())
    assert fuse([bare], [line("totals", 0.99)]) == [bare]


def test_one_reading_alone_is_the_result() -> None:
    only = [line("alpha beta", 0.9), line("gamma", 0.8, y=50)]
    assert fuse(only, []) == only
    assert texts(fuse([], only)) == ["alpha beta", "gamma"]
    assert fuse([], []) == []


WORDS = st.lists(
    st.tuples(st.text("abcdeЖ1,", min_size=1, max_size=6), st.floats(0, 1)), min_size=1, max_size=8
)


@st.composite
def readings(draw: st.DrawFn) -> list[Line]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        words = draw(WORDS)
        made.append(
            line(
                " ".join(word for word, _ in words),
                *(sure for _, sure in words),
                x=draw(st.integers(0, 60)),
                y=25 * number + draw(st.integers(0, 8)),
            )
        )
    return made


@given(readings(), readings())
def test_words_lie_in_the_text_where_they_say(first: list[Line], second: list[Line]) -> None:
    check(fuse(first, second))


@given(readings(), readings())
def test_no_word_comes_from_nowhere_and_none_comes_twice(
    first: list[Line], second: list[Line]
) -> None:
    boxes = [word.box for one in (*first, *second) for word in one.words]
    # Equal boxes may be of both readings; of one and the same word never.
    for box in {word.box for one in fuse(first, second) for word in one.words}:
        found = [w for one in fuse(first, second) for w in one.words if w.box == box]
        assert len(found) <= boxes.count(box)


@given(readings(), readings())
def test_confident_words_of_the_first_are_never_lost(first: list[Line], second: list[Line]) -> None:
    sure = [replace(one, confidence=1.0, words=_with(one, 1.0)) for one in first]
    doubtful = [replace(one, confidence=0.1, words=_with(one, 0.1)) for one in second]
    found = [word.text for one in fuse(sure, doubtful) for word in one.words]
    assert found == [word.text for one in first for word in one.words]


def _with(one: Line, confidence: float) -> tuple[Word, ...]:
    return tuple(replace(word, confidence=confidence) for word in one.words)
