from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.text.generated import Generated
from casola_ocr.text.grounding import parse
from casola_ocr.text.token_confidence import layout_confidence, tokens_in, words_of
from casola_ocr.text.traced import Traced
from tests.outputs import PAPER, SIZE, generated, page_of


def tokens(*pieces: tuple[str, float]) -> Generated:
    starts, text = [], ""
    for piece, _ in pieces:
        starts.append(len(text))
        text += piece
    chances = [math.log(chance) if chance else -math.inf for _, chance in pieces]
    return Generated(text=text, starts=starts, logprobs=chances, ranks=None, finish="stop")


def words(made: Generated) -> list[tuple[str, float | None]]:
    line = Traced.of(made.text, 0, len(made.text))
    return [(word.text, word.confidence) for word in words_of(line, made)]


def test_a_word_is_the_geometric_mean_of_its_tokens() -> None:
    made = tokens(("Con", 0.9), ("fid", 0.4), ("ence", 0.9), (" is", 0.5))
    assert words(made) == [("Confidence", 0.6868), ("is", 0.5)]


def test_a_token_that_reaches_into_a_word_counts_for_it() -> None:
    assert words(tokens(("a b", 0.5), ("c", 1.0))) == [("a", 0.5), ("bc", 0.7071)]


def test_each_ideograph_is_a_word_and_the_tokens_of_its_bytes_count() -> None:
    made = tokens(("漢", 0.9), ("", 0.25), ("字", 1.0), ("です", 0.8), (" ab", 0.7))
    assert words(made) == [("漢", 0.9), ("字", 0.5), ("で", 0.8), ("す", 0.8), ("ab", 0.7)]


def test_a_token_without_any_chance_is_zero() -> None:
    assert words(tokens(("a", 0.0), ("b", 1.0))) == [("ab", 0.0)]


@pytest.mark.parametrize("told", [None, math.nan])
def test_what_nobody_told_is_none(told: float | None) -> None:
    logprobs = None if told is None else [told]
    made = Generated(text="ab", starts=[0], logprobs=logprobs, ranks=None, finish="stop")
    assert words(made) == [("ab", None)]
    assert layout_confidence(made, [(0, 1)]) is None
    page = page_of(made)
    assert (page.confidence, page.confidence_low, page.confidence_raw) == (None, None, None)
    assert "uncalibrated" not in page.flags


def test_the_layouts_confidence_is_its_own() -> None:
    page = page_of(generated(PAPER, sure=-0.1, unsure={"[[110, 60, 890, 100]]": -4.0}))
    assert page.confidence == page.confidence_raw == round(math.exp(-0.1), 4)
    assert page.confidence_layout is not None
    assert page.confidence_layout < 0.75


def test_unsure_content_does_not_touch_the_layout_nor_other_words() -> None:
    page = page_of(generated(PAPER, unsure={"Errors that nobody sees": -3.0}))
    assert page.confidence_layout == 0.99
    found = {word.text: word.confidence for line in page.lines for word in line.words}
    assert found["that"] == round(math.exp(-3), 4)
    assert found["worst."] == 0.99
    assert page.confidence_low == round(math.exp(-3), 4)


def test_tags_of_a_table_count_for_no_word() -> None:
    made = generated("<table><tr><td>R&amp;D</td></tr></table>", unsure={"<td>": -9, "</td>": -9})
    assert page_of(made).confidence == 0.99


@given(st.text(st.sampled_from("ab c漢\n\t"), max_size=30), st.data())
def test_words_are_what_stands_in_their_line_at_their_start(text: str, data: st.DataObject) -> None:
    starts = sorted({0, *data.draw(st.lists(st.integers(0, len(text)), max_size=9))})
    logprobs = [-0.5] * len(starts)
    made = Generated(text=text, starts=starts, logprobs=logprobs, ranks=None, finish="stop")
    found = words_of(Traced.of(text, 0, len(text)), made)
    assert "".join(word.text for word in found) == "".join(text.split())
    for word in found:
        assert text[word.start : word.start + len(word.text)] == word.text
        assert word.confidence == round(math.exp(-0.5), 4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.lists(st.integers(0, 30)))
def test_tokens_of_spans_are_those_that_overlap_them(lengths: list[int], cuts: list[int]) -> None:
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    cuts = sorted(set(cuts))
    spans = list(zip(cuts[::2], cuts[1::2], strict=False))
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    ends[-1] = max(ends[-1], 31)
    expected = [
        token
        for token, (first, last) in enumerate(zip(starts, ends, strict=True))
        if last > first and any(first < end and last > start for start, end in spans)
    ]
    found = [token for token in tokens_in(starts, spans) if ends[token] > starts[token]]
    assert found == expected


def test_the_layout_of_a_page_without_markup_has_no_confidence() -> None:
    assert layout_confidence(generated("plain"), parse("plain", SIZE).markup) is None
