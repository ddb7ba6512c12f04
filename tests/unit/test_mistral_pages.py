"""Page results as Mistral's pages: figures, tables, blocks and confidences."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from casola_ocr.pages import Block, PageResult
from casola_ocr.wire.mistral_ocr import parse
from casola_ocr.wire.mistral_pages import answer as answer_of
from tests.exported import document, line, page
from tests.outputs import PAPER, SIZE, generated, page_of
from tests.pages import as_bytes

PAPER_PAGE = page_of(generated(PAPER))
#: A table as the CPU engines find it: rows of lines, without Markdown.
TABLE = page(
    line("Fruit", row=1, block=0),
    line("a|b", x=50, y=100, row=2, block=1),
    line("12", x=600, y=100, row=2, block=1),
    line("c<d", x=50, y=160, row=3, block=1),
    line("34", x=600, y=160, row=3, block=1),
    blocks=(Block(label="text", box=(0, 0, 800, 90)), Block(label="table", box=(0, 90, 800, 400))),
)


def answer(*pages: PageResult, pictures: Any = (), **fields: Any) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": "https://example.com/a.png"}
    asked = parse({"document": image, **fields})
    told: dict[str, Any] = json.loads(b"".join(answer_of(asked, document(pages, pictures))))
    return told


def only(found: PageResult, **fields: Any) -> dict[str, Any]:
    (made,) = answer(found, **fields)["pages"]
    return dict(made)


def test_the_markdown_is_the_models_with_a_mark_for_each_figure() -> None:
    made = only(PAPER_PAGE)
    assert PAPER_PAGE.markdown is not None
    mark = "![img-0.jpeg](img-0.jpeg)"
    assert made["markdown"] == PAPER_PAGE.markdown.replace("<!-- image -->", mark)
    (image,) = made["images"]
    assert image == {
        "id": "img-0.jpeg", "top_left_x": 110, "top_left_y": 960, "bottom_right_x": 890,
        "bottom_right_y": 1400, "image_base64": None,
    }  # fmt: skip


def test_a_figure_that_is_too_high_for_a_jpeg_misses_and_the_text_is_there() -> None:
    size = (20, 66_000)
    blocks = (Block(label="image", box=(0, 0, *size), span=(0, 14)),)
    high = replace(
        PAPER_PAGE,
        lines=(),
        width=size[0],
        height=size[1],
        markdown="<!-- image -->",
        blocks=blocks,
    )
    picture = as_bytes(Image.new("RGB", size, "white"))
    made = only(high, pictures=[picture], include_image_base64=True)
    assert [image["image_base64"] for image in made["images"]] == [None]


def test_figures_are_cut_from_the_page() -> None:
    shown = Image.new("RGB", SIZE, "white")
    shown.paste("red", (110, 960, 890, 1400))
    made = only(PAPER_PAGE, pictures=[as_bytes(shown)], include_image_base64=True)
    head, data = made["images"][0]["image_base64"].split(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.size) == ("JPEG", (780, 440))
        (red, _), (_, green), _ = image.convert("RGB").getextrema()
        assert (red > 240, green < 20) == (True, True), "all of it is the figure, and no paper"


def test_a_figure_whose_page_is_gone_is_null() -> None:
    made = only(PAPER_PAGE, include_image_base64=True)
    assert made["images"][0]["image_base64"] is None


@pytest.mark.parametrize("fields", [{"image_limit": 0}, {"image_min_size": 500}])
def test_figures_that_are_not_wanted_are_left_out(fields: dict[str, Any]) -> None:
    made = only(PAPER_PAGE, **fields)
    assert made["images"] == []
    assert "img-0" not in str(made)


def test_figures_are_numbered_through_the_document() -> None:
    pages = answer(PAPER_PAGE, PAPER_PAGE, image_limit=2)["pages"]
    assert [found["images"][0]["id"] for found in pages] == ["img-0.jpeg", "img-1.jpeg"]


def test_a_models_table_is_taken_out_as_html_or_markdown() -> None:
    made = only(PAPER_PAGE, table_format="html")
    (table,) = made["tables"]
    assert (table["id"], table["format"]) == ("tbl-0.html", "html")
    assert table["content"].startswith('<table>\n<tr><td rowspan="2">Kind</td>')
    assert "[tbl-0.html](tbl-0.html)" in made["markdown"]
    assert "<table>" not in made["markdown"]
    (table,) = only(PAPER_PAGE, table_format="markdown")["tables"]
    assert table["content"].splitlines()[:2] == ["| Kind | Errors |  |", "| --- | --- | --- |"]


def test_a_table_of_lines_is_taken_out_as_html_or_markdown() -> None:
    assert only(TABLE)["tables"] == []
    assert "| a\\|b | 12 |" in only(TABLE)["markdown"]
    (table,) = only(TABLE, table_format="markdown")["tables"]
    assert table["content"].splitlines() == ["| a\\|b | 12 |", "| --- | --- |", "| c\\<d | 34 |"]
    made = only(TABLE, table_format="html")
    assert made["tables"][0]["content"] == (
        "<table>\n<tr><td>a|b</td><td>12</td></tr>\n<tr><td>c&lt;d</td><td>34</td></tr>\n</table>"
    )
    assert made["markdown"] == "Fruit\n\n[tbl-0.html](tbl-0.html)"


def test_blocks_have_mistrals_types_and_name_their_figure_and_table() -> None:
    blocks = only(PAPER_PAGE, table_format="html")["blocks"]
    assert [block["type"] for block in blocks] == [
        "header", "title", "text", "title", "text", "equation", "image", "caption", "caption",
        "table", "footer",
    ]  # fmt: skip
    assert blocks[6]["image_id"] == "img-0.jpeg"
    assert (blocks[9]["table_id"], blocks[9]["content"][:7]) == ("tbl-0.html", "<table>")
    assert blocks[1]["content"] == "# A Study of Small Errors"
    assert "blocks" not in only(PAPER_PAGE, include_blocks=False)


def test_header_and_footer_leave_the_markdown_when_they_are_wanted_apart() -> None:
    made = only(PAPER_PAGE, extract_header=True, extract_footer=True)
    assert (made["header"], made["footer"]) == ("Journal of Reading, vol. 7", "17")
    assert made["markdown"].startswith("# A Study")
    assert not made["markdown"].endswith("17")
    assert (only(PAPER_PAGE)["header"], only(PAPER_PAGE)["footer"]) == (None, None)


@pytest.mark.parametrize("found", [PAPER_PAGE, TABLE, page(line("a_b *c* R&D <x>"))])
def test_a_words_index_is_where_it_stands(found: PageResult) -> None:
    made = only(found, confidence_scores_granularity="word", extract_header=True)
    words = made["confidence_scores"]["word_confidence_scores"]
    assert words
    for word in words:
        rest = made["markdown"][word["start_index"] :]
        assert rest[0] == word["text"][0] or rest[0] in "\\&", (word, rest[:20])
    starts = [word["start_index"] for word in words]
    assert starts == sorted(set(starts))
    assert all(0 <= word["confidence"] <= 1 for word in words)


def test_the_words_of_a_table_are_told_with_it() -> None:
    made = only(TABLE, confidence_scores_granularity="word", table_format="markdown")
    (table,) = made["tables"]
    assert [word["text"] for word in table["word_confidence_scores"]] == ["a|b", "12", "c<d", "34"]
    words = made["confidence_scores"]["word_confidence_scores"]
    assert [word["text"] for word in words] == ["Fruit"]


def test_pages_and_blocks_have_their_own_confidences() -> None:
    made = only(TABLE, confidence_scores_granularity="page")
    assert made["confidence_scores"] == {
        "average_page_confidence_score": 0.9, "minimum_page_confidence_score": 0.9,
    }  # fmt: skip
    assert "confidence_scores" not in made["blocks"][0]
    made = only(TABLE, confidence_scores_granularity="block")
    assert made["blocks"][0]["confidence_scores"] == {
        "average_content_confidence_score": 0.9,
        "minimum_content_confidence_score": 0.9,
        "block_type_confidence_score": None,
    }
    assert "confidence_scores" not in only(TABLE)


def test_an_engine_that_tells_no_confidence_has_none() -> None:
    silent = page(text="plain", confidence=None)
    assert only(silent, confidence_scores_granularity="word")["confidence_scores"] is None
    assert only(silent)["markdown"] == "plain"
