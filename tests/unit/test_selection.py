"""Which pages are wanted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.errors import BadSelection
from casola_ocr.selection import MAX_LENGTH, MAX_NUMBER, Selection


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("  ", ""),
        ("all", "all"),
        ("ALL", "all"),
        ("1-", "all"),
        ("3-", "3-"),
        ("8, 1-5", "1-5,8"),
        ("5,4,3,3", "3-5"),
        ("1-3,2-9", "1-9"),
        ("7-,3,9", "3,7-"),
        ("2-,1", "all"),
        ("4-4", "4"),
        ("007", "7"),
    ],
)
def test_it_is_brought_to_one_form(text: str, normal: str) -> None:
    made = Selection.parse(text)
    assert str(made) == normal
    assert Selection.parse(normal) == made


@pytest.mark.parametrize(
    "text",
    ["0", "-3", "1-2-3", "a", "1,,2", "1,", ",", "5-3", "1.5", "1 2", "٣", "²", "12345678",
     str(MAX_NUMBER + 1), f"1-{MAX_NUMBER + 1}", "all,3", "1–5"],
)  # fmt: skip
def test_what_is_no_selection_is_refused(text: str) -> None:
    with pytest.raises(BadSelection) as caught:
        Selection.parse(text)
    assert "'pages'" in caught.value.detail
    assert "1-5,8" in caught.value.advice


def test_one_that_would_fill_the_record_is_refused() -> None:
    with pytest.raises(BadSelection, match="too many ranges"):
        Selection.parse(",".join(str(2 * n) for n in range(1, MAX_LENGTH)))


def test_positions_are_counted_over_the_wanted_pages() -> None:
    made = Selection.parse("2-3,8,10-")
    assert [made.number(position) for position in range(1, 7)] == [2, 3, 8, 10, 11, 12]
    assert [made.position(number) for number in range(1, 12)] == [
        None, 1, 2, None, None, None, None, 3, None, 4, 5,
    ]  # fmt: skip
    assert [made.count(pages) for pages in (0, 1, 2, 3, 7, 8, 9, 12)] == [0, 0, 1, 2, 2, 3, 3, 6]


def test_without_a_selection_position_and_number_are_the_same() -> None:
    usual = Selection()
    assert (usual.number(7), usual.position(7), usual.count(7)) == (7, 7, 7)


def test_past_the_last_wanted_page_numbers_go_on() -> None:
    assert Selection.parse("2,5").number(3) == 6


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.booleans(),
    st.integers(0, 60),
)
def test_it_agrees_with_the_set_of_its_pages(wanted: list[int], is_open: bool, pages: int) -> None:
    text = ",".join(map(str, wanted)) + (f",{max(wanted)}-" if is_open else "")
    made = Selection.parse(text)
    end = max(pages, max(wanted)) if is_open else 0
    expected = sorted({*wanted, *range(max(wanted), end + 1)})
    existing = [number for number in expected if number <= pages]
    assert made.count(pages) == len(existing)
    assert [made.number(at) for at in range(1, len(existing) + 1)] == existing
    assert [made.position(number) for number in existing] == list(range(1, len(existing) + 1))
