from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from casola_ocr.pages import Block
from casola_ocr.text.markdown import escape, markdown_of, plain
from tests.exported import line

TEXT = Block(label="text", box=(0, 0, 800, 400))
TABLE = Block(label="table", box=(0, 0, 800, 400))
RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def rendered(markdown: str) -> str:
    """The visible text of what a renderer makes of it."""
    return html.unescape(re.sub(r"<[^>]+>", "", RENDERER.render(markdown))).strip()


def rows(*texts: str, block: int = 0) -> list[object]:
    return [line(text, y=50 * n, row=n, block=block) for n, text in enumerate(texts)]


def test_a_blocks_rows_become_one_paragraph_with_divided_words_made_whole() -> None:
    lines = rows("The Donau-", "dampf is a long", "word by Jean-", "Paul, and hy\u00ad", "phens.")
    assert markdown_of(lines, [TEXT]) == (
        "The Donaudampf is a long word by Jean-Paul, and hyphens."
    )


def test_a_dash_after_a_space_or_a_digit_divides_no_word() -> None:
    assert markdown_of(rows("from 1990-", "today -", "or so"), [TEXT]) == (
        "from 1990- today - or so"
    )


def test_chinese_rows_are_joined_without_a_space() -> None:
    assert markdown_of(rows("漢字", "かな"), [TEXT]) == "漢字かな"


def test_without_blocks_rows_stay_lines() -> None:
    lines = [line("Total", y=0), line("12,50", y=50)]
    assert markdown_of(lines, []) == "Total\n12,50"


def test_blocks_are_paragraphs() -> None:
    lines = [*rows("one", "two"), *rows("three", block=1)]
    assert markdown_of(lines, [TEXT, TEXT]) == "one two\n\nthree"


def test_a_table_block_is_a_pipe_table_and_a_missing_cell_stays_empty() -> None:
    lines = [
        line("item", x=0, row=0), line("count", x=200, row=0), line("price", x=400, row=0),
        line("tea | milk", x=0, row=1), line("4", x=420, row=1),
        line("sum", x=0, row=2), line("2", x=210, row=2), line("9", x=410, row=2),
    ]  # fmt: skip
    markdown = markdown_of(lines, [TABLE])
    assert markdown.splitlines() == [
        "| item | count | price |",
        "| --- | --- | --- |",
        r"| tea \| milk |  | 4 |",
        "| sum | 2 | 9 |",
    ]
    assert RENDERER.render(markdown).count("<td>") == 6


@pytest.mark.parametrize(
    "text",
    ["# no heading", "- no list", "+ 3", "1. no number", "2) two", "> no quote", "---", "===",
     "*a* _b_ `c` [d](e) <f> ~~g~~ \\h", "&amp; &#65;", "![x](y)", "a | b", "$x$", "http://a.b",
     ":-:", "snake_case_ 1_2 _é_", "https://a.b/~c?d_e=[1]&amp;f", "www.a.b/*"],
)  # fmt: skip
def test_text_is_rendered_as_it_is(text: str) -> None:
    assert rendered(escape(text)) == text
    # Also as a paragraph's second line, where other constructs can begin.
    assert rendered(f"first\n{escape(text)}") == f"first\n{text}"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("see https://a.b/c_d now", "see https://a.b/c_d now"), ("ftp://a.b/~c", r"ftp\://a.b/\~c"),
     ("HTTP://a.b/[c]", r"HTTP\://a.b/\[c\]"), ("www.a.b/*", r"www\.a.b/\*")],
)  # fmt: skip
def test_what_github_makes_a_link_of_has_no_backslash_in_it(text: str, escaped: str) -> None:
    # Its renderer takes a link's characters as they are, backslashes too.
    assert escape(text) == escaped


def test_a_line_of_dashes_and_a_colon_makes_no_table_of_the_one_before() -> None:
    assert plain("Total\n:-:") == "Total\n\\:-:"


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs")), max_size=40))
def test_any_line_is_rendered_as_it_is(text: str) -> None:
    assert rendered(escape(text)).split() == text.split()


def test_text_without_lines_keeps_its_paragraphs() -> None:
    assert plain("# one\ntwo\n \nthree\n") == "\\# one\ntwo\n\nthree"


def test_an_empty_page_is_empty() -> None:
    assert markdown_of([], []) == ""
    assert markdown_of([line(" ", words=False)], [TABLE]) in ("", "|  |\n| --- |")
