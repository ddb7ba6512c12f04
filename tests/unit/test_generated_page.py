from __future__ import annotations

import json
import subprocess

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from PIL import Image

from casola_ocr.exports import result_schema
from casola_ocr.pages import PAGE_RESULT, Block, Try
from casola_ocr.text.confidence import page_confidence
from casola_ocr.text.flags import BLANK, EMPTY_OUTPUT, MARKUP, UNCALIBRATED, UNTRUSTED
from casola_ocr.text.generated_page import build_generated_page
from tests.exported import document, exported
from tests.outputs import CHINESE, PAPER, RECEIPT, SIZE, generated, grounded, page_of
from tests.pages import as_bytes
from tests.unit.test_exports_xml import ALTO, GRAMMAR, HTML
from tests.unit.test_grounding import ANYTHING

PAPER_PAGE = page_of(generated(PAPER, unsure={"nobody sees": -2.0}))
WHOLE = (0, 0, *SIZE)


def test_blocks_have_labels_and_places_and_lines_have_their_blocks() -> None:
    assert [block.label for block in PAPER_PAGE.blocks] == [
        "header", "title", "text", "sub_title", "text", "equation", "image", "image_caption",
        "table_caption", "table", "footer",
    ]  # fmt: skip
    assert (PAPER_PAGE.blocks[4].label, PAPER_PAGE.blocks[4].box) == ("text", (110, 360, 890, 800))
    assert {line.block for line in PAPER_PAGE.lines} == set(range(11)) - {6}
    assert all(line.box == PAPER_PAGE.blocks[line.block].box for line in PAPER_PAGE.lines)
    assert [line.row for line in PAPER_PAGE.lines] == list(range(len(PAPER_PAGE.lines)))
    assert all(word.box is None for line in PAPER_PAGE.lines for word in line.words)


def test_text_and_markdown_are_the_blocks_with_empty_lines_between() -> None:
    assert PAPER_PAGE.text.startswith("Journal of Reading, vol. 7\n\nA Study of Small Errors\n\n")
    assert PAPER_PAGE.text.endswith("Kind\tErrors\n\told\tnew\nR&D <x>\t12\t\\(3 \\pm 1\\)\n\n17")
    assert PAPER_PAGE.markdown is not None
    assert PAPER_PAGE.markdown.startswith("Journal of Reading, vol. 7\n\n# A Study")
    assert "\n\n<!-- image -->\n\nFigure 1" in PAPER_PAGE.markdown
    assert [line.text for line in PAPER_PAGE.lines] == list(
        filter(None, PAPER_PAGE.text.split("\n"))
    )


def test_blocks_know_where_their_markdown_stands() -> None:
    spans = [block.span for block in PAPER_PAGE.blocks if block.span]
    assert len(spans) == 11
    whole = PAPER_PAGE.markdown or ""
    assert "\n\n".join(whole[start:end] for start, end in spans) == whole
    start, end = PAPER_PAGE.blocks[6].span or (0, 0)
    assert whole[start:end] == "<!-- image -->"
    start, end = PAPER_PAGE.blocks[9].span or (0, 0)
    assert whole[start:end].startswith("<table>")


def test_numbers_come_from_the_words() -> None:
    words = [(word.text, word.confidence) for line in PAPER_PAGE.lines for word in line.words]
    assert (PAPER_PAGE.confidence, PAPER_PAGE.confidence_low) == page_confidence(words)
    assert PAPER_PAGE.confidence_raw == PAPER_PAGE.confidence
    assert PAPER_PAGE.confidence_layout == 0.99
    assert (PAPER_PAGE.words, PAPER_PAGE.language) == (66, "en")
    assert PAPER_PAGE.flags == (UNCALIBRATED,)
    assert (PAPER_PAGE.width, PAPER_PAGE.height, PAPER_PAGE.rotation) == (*SIZE, 0)


def test_an_engine_with_a_calibration_is_calibrated() -> None:
    page = page_of(generated(PAPER, sure=-0.2), engine="pp-ocrv6")
    assert UNCALIBRATED not in page.flags
    assert page.confidence_raw == 0.8187
    assert page.confidence != page.confidence_raw


def test_a_receipt_without_places_has_the_whole_page() -> None:
    page = page_of(generated(RECEIPT))
    assert page.blocks == (Block(label="text", box=WHOLE, span=(0, len(page.markdown or ""))),)
    assert page.text == RECEIPT
    assert len(page.lines) == 8
    assert page.confidence_layout is None


def test_a_table_without_places_is_a_block_of_its_own() -> None:
    page = page_of(generated("Prices\n<table><tr><td>a</td><td>1</td></tr></table>\nThanks"))
    assert [(block.label, block.box) for block in page.blocks] == [
        ("text", WHOLE), ("table", WHOLE), ("text", WHOLE)
    ]  # fmt: skip
    assert page.text == "Prices\n\na\t1\n\nThanks"


def test_chinese_is_counted_by_characters() -> None:
    page = page_of(generated(CHINESE))
    assert (page.language, page.words) == ("zh-hans", 33)
    assert [word.text for word in page.lines[2].words] == list("联系人：王小明。")


def test_the_language_that_was_asked_for_is_kept() -> None:
    assert page_of(generated(PAPER), language="en,de").language == "en,de"


def test_flags_and_tries_of_the_caller_are_kept() -> None:
    tried = Try(engine="deepseek-ocr-v2", how="document", flags=("truncated",), tokens=8)
    page = page_of(generated("A\n<|ref|>tit"), flags=("retried",), tries=[tried])
    assert page.flags == ("retried", MARKUP, UNCALIBRATED)
    assert page.tries == (tried,)


def test_nothing_written_is_no_text_and_no_confidence() -> None:
    page = page_of(generated(""))
    assert (page.text, page.markdown, page.words, page.confidence) == ("", "", 0, None)
    assert page.flags == (EMPTY_OUTPUT, BLANK)
    assert (page.blocks, page.lines) == ((), ())


def test_a_picture_alone_is_blank_and_trusted() -> None:
    page = page_of(generated(grounded("image", [(0, 0, 999, 999)], "")))
    assert page.flags == (BLANK,)
    assert page.blocks == (Block(label="image", box=WHOLE, span=(0, 14)),)
    assert not UNTRUSTED.intersection(page.flags)


@given(ANYTHING, st.sampled_from([(1, 1), (640, 480), (3000, 20)]))
def test_whatever_is_written_becomes_a_valid_page(output: str, size: tuple[int, int]) -> None:
    page = build_generated_page(
        generated(output), size=size, page=1, engine="e", engine_version="1", attempts=1,
        seconds=0.1, ink=None, greedy=True,
    )  # fmt: skip
    assert PAGE_RESULT.validate_json(page.to_json()) == page
    assert [line.text for line in page.lines] == list(filter(None, page.text.split("\n")))
    for line in page.lines:
        assert line.text == line.text.rstrip()
        assert 0 <= line.block < len(page.blocks)
        for word in line.words:
            assert line.text[word.start : word.start + len(word.text)] == word.text
        assert "".join(word.text for word in line.words) == "".join(line.text.split())


PAGES = [PAPER_PAGE, page_of(generated(RECEIPT), page=2), page_of(generated(CHINESE), page=3)]


def test_hocr_and_alto_have_lines_that_share_a_box_and_words_without_one() -> None:
    hocr = etree.fromstring(exported("hocr", document(PAGES)))
    assert len(hocr.findall(".//h:div[@class='ocr_carea']", HTML)) == 10 + 1 + 2
    texts = ["".join(node.itertext()) for node in hocr.iter("{*}span") if "line" in node.get("id")]
    assert texts == [" ".join(line.text.split()) for page in PAGES for line in page.lines]
    alto = etree.fromstring(exported("alto", document(PAGES)))
    GRAMMAR.assertValid(alto)
    assert len(alto.findall(".//a:TextBlock[@TAGREFS='table']", ALTO)) == 1
    words = [node.get("CONTENT") for node in alto.iter("{*}String")]
    assert words == [word.text for page in PAGES for line in page.lines for word in line.words]


def test_json_follows_the_schema_and_markdown_is_the_models() -> None:
    jsonschema.validate(json.loads(exported("json", document(PAGES))), result_schema())
    markdown = exported("md", document(PAGES)).decode()
    assert markdown.startswith("Journal of Reading, vol. 7\n\n# A Study of Small Errors\n\n")
    assert markdown.count("\n---\n\n") == 2


@pytest.mark.parametrize(
    ("code", "blocks"),
    [("```\na", 0), ("~~~ c\na\n```", 0), ("```\na\n```\n```b", 1), ("````\na\n```", 0),
     ("a\n   ```", 0), ("```\n~~~", 0), ("```c\na\n````", 1), ("``` a `", 0), ("```\n~~~\n```", 1)],
)  # fmt: skip
def test_code_ends_with_its_block_even_where_the_model_wrote_no_end(code: str, blocks: int) -> None:
    first = page_of(generated(grounded("code", [(0, 0, 999, 400)], code)))
    table = "<table><tr><td>x</td></tr></table>"
    second = page_of(generated(grounded("table", [(0, 0, 999, 400)], table)), page=2)
    shown = MarkdownIt("commonmark").render(exported("md", document([first, second])).decode())
    assert shown.count("<pre>") == blocks
    assert shown.endswith("<hr />\n<table>\n<tr><td>x</td></tr>\n</table>\n")


@pytest.mark.parametrize("options", [(), ("-layout",)])
def test_a_searchable_pdf_has_the_lines_in_their_order(options: tuple[str, ...]) -> None:
    pictures = [as_bytes(Image.new("RGB", SIZE, "white"), "PNG", dpi=(72, 72))] * len(PAGES)
    done = subprocess.run(
        ["pdftotext", *options, "-", "-"], input=exported("pdf", document(PAGES, pictures)),
        capture_output=True, check=True,
    )  # fmt: skip
    read = [" ".join(line.split()) for line in done.stdout.decode().splitlines()]
    expected = [" ".join(line.text.split()) for page in PAGES for line in page.lines]
    assert [line for line in read if line] == expected
