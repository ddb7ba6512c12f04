"""hOCR and ALTO, as the tools of others read them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from casola_ocr.pages import Block, PageResult
from tests.exported import document, exported, failed, line, page

ALTO = {"a": "http://www.loc.gov/standards/alto/ns-v4#"}
HTML = {"h": "http://www.w3.org/1999/xhtml"}
GRAMMAR = etree.RelaxNG(file=Path(__file__).parents[1] / "data" / "alto.rng")
#: Scripts that hocr-tools installs beside the interpreter.
SCRIPTS = Path(sys.executable).parent

HEBREW = "שלום עולם 2024"
TABLE = (Block(label="text", box=(0, 0, 800, 90)), Block(label="table", box=(0, 90, 800, 400)))
PAGES = [
    page(line("Hello wörld <&> \"x\""), line(HEBREW, y=120), line("漢字 かな", y=200)),
    page(number=2, text="", words=0, confidence=None, confidence_low=None),
    failed(3),
    page(line("no word boxes", words=False), number=4, language="de", rotation=90),
    page(line("bell\x07 \x0b nul\x00", words=False), line("\ufffe\x1f", y=99), number=5),
    page(line("head"), line("a", y=100, block=1, row=1), line("b", x=300, y=100, block=1, row=1),
         number=6, blocks=TABLE),
    page(number=7, text="only\ntext"),
]  # fmt: skip
#: As language models tell places: those of blocks only.
STACKED = page(
    *(replace(line(text, words=False), box=(0, 90, 800, 400), row=n)
      for n, text in enumerate(("one", "two", "three"))),
    blocks=(Block(label="text", box=(0, 90, 800, 400)),),
)  # fmt: skip


def hocr(pages: list[PageResult], **more: object) -> etree._Element:
    return etree.fromstring(exported("hocr", document(pages, **more)))


def alto(pages: list[PageResult], **more: object) -> etree._Element:
    found = etree.fromstring(exported("alto", document(pages, **more)))
    GRAMMAR.assertValid(found)
    return found


def test_hocr_keeps_words_with_their_boxes_and_confidences() -> None:
    found = hocr(PAGES)
    assert len(found.findall(".//h:div[@class='ocr_page']", HTML)) == 7
    words = found.findall(".//h:div[@id='page_1']//h:span[@class='ocrx_word']", HTML)
    assert [word.text for word in words[:3]] == ["Hello", "wörld", "<&>"]
    assert words[0].get("title") == "bbox 50 40 140 76; x_wconf 90"
    texts = ["".join(part.itertext()) for part in lines(found, 1)]
    assert texts == ['Hello wörld <&> "x"', HEBREW, "漢字 かな"]


def lines(found: etree._Element, number: int) -> list[etree._Element]:
    return found.findall(f".//h:div[@id='page_{number}']//h:span[@class='ocr_line']", HTML)


def test_hocr_numbers_pages_and_names_the_image_whatever_its_name() -> None:
    found = hocr(PAGES[:2], file_name='a "b"; c\x01.png')
    title = found.find(".//h:div[@id='page_2']", HTML).get("title")
    assert title == "image \"a 'b', c\ufffd.png\"; bbox 0 0 800 400; ppageno 1"


def test_hocr_tells_which_attributes_it_can_have() -> None:
    told = hocr(PAGES).find(".//h:meta[@name='ocr-capabilities']", HTML).get("content").split()
    assert {"ocrp_lang", "ocrp_dir"} <= set(told)


def test_hocr_tells_the_direction_of_text_and_the_rotation_of_a_page() -> None:
    found = hocr(PAGES)
    assert [part.get("dir") for part in lines(found, 1)] == [None, "rtl", None]
    (turned,) = lines(found, 4)
    assert turned.get("title").endswith("; textangle 90")
    assert turned.text == "no word boxes"


def test_hocr_of_a_word_without_a_box_has_none() -> None:
    found = line("a b")
    found = replace(found, words=tuple(replace(w, box=None, confidence=None) for w in found.words))
    words = hocr([page(found)]).findall(".//h:span[@class='ocrx_word']", HTML)
    assert [(word.text, word.get("title")) for word in words] == [("a", None), ("b", None)]


@pytest.mark.parametrize(("told", "percent", "part"), [(1.2, "100", "1"), (-0.1, "0", "0")])
def test_a_confidence_beyond_what_a_format_allows_is_the_nearest_that_it_allows(
    told: float, percent: str, part: str
) -> None:
    found = line("a")
    pages = [page(replace(found, words=tuple(replace(w, confidence=told) for w in found.words)))]
    (word,) = hocr(pages).findall(".//h:span[@class='ocrx_word']", HTML)
    assert word.get("title").endswith(f"; x_wconf {percent}")
    assert alto(pages).find(".//a:String", ALTO).get("WC") == part


def test_lines_of_which_only_the_blocks_place_is_known_are_a_slice_of_it_each() -> None:
    hocr_boxes = [part.get("title") for part in lines(hocr([STACKED]), 1)]
    assert hocr_boxes == ["bbox 0 90 800 193", "bbox 0 193 800 297", "bbox 0 297 800 400"]
    made = alto([STACKED]).findall(".//a:TextLine", ALTO)
    assert [(found.get("VPOS"), found.get("HEIGHT")) for found in made] == [
        ("90", "103"), ("193", "104"), ("297", "103"),
    ]  # fmt: skip


@pytest.mark.parametrize("found", [PAGES[0], STACKED])
def test_hocr_passes_the_check_of_hocr_tools(tmp_path: Path, found: PageResult) -> None:
    file = tmp_path / "a.hocr"
    file.write_bytes(exported("hocr", document([found])))
    done = subprocess.run(
        [sys.executable, SCRIPTS / "hocr-check", file], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("ok ") > 10
    assert "mostly_nonoverlapping/line" in done.stderr
    assert "not ok" not in done.stderr


def test_hocr_tools_reads_the_lines_and_finds_each_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.hocr"
    file.write_bytes(exported("hocr", document(PAGES[:1])))
    assert run("hocr-lines", file).splitlines()[1:] == [HEBREW, "漢字 かな"]
    evaluated = run("hocr-eval", file, file).splitlines()
    assert evaluated == ["segmentation_errors 0", "segmentation_ocr_errors 0", "ocr_errors 0"]


def run(script: str, *arguments: Path) -> str:
    # Its own Python warns of what later versions of its libraries will do.
    command = [sys.executable, "-W", "ignore", SCRIPTS / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_alto_follows_its_schema_for_every_kind_of_page() -> None:
    found = alto(PAGES)
    pages = found.findall(".//a:Page", ALTO)
    assert [made.get("PHYSICAL_IMG_NR") for made in pages] == list("1234567")
    assert pages[2].get("QUALITY_DETAIL") == "not read: damaged_document"
    assert (pages[3].get("ROTATION"), pages[3].get("LANG")) == ("90", "de")


def test_alto_keeps_words_spaces_confidences_and_tables() -> None:
    found = alto(PAGES)
    first = found.find(".//a:Page[@ID='page_1']//a:TextLine", ALTO)
    assert [part.get("CONTENT") for part in first] == ["Hello", None, "wörld", None, "<&>", None,
                                                       '"x"']  # fmt: skip
    assert dict(first[0].attrib) == {
        "CONTENT": "Hello", "HPOS": "50", "VPOS": "40", "WIDTH": "90", "HEIGHT": "36", "WC": "0.9",
    }  # fmt: skip
    directions = [made.get("BASEDIRECTION") for made in found.findall(".//a:TextLine", ALTO)[:3]]
    assert directions == [None, "rtl", None]
    table = found.find(".//a:TextBlock[@TAGREFS='table']", ALTO)
    assert len(table.findall("a:TextLine", ALTO)) == 2


def test_alto_of_a_line_without_words_has_strings_without_places() -> None:
    strings = alto([page(line("no words", words=False))]).findall(".//a:String", ALTO)
    assert [dict(found.attrib) for found in strings] == [{"CONTENT": "no"}, {"CONTENT": "words"}]


def test_a_language_is_left_out_that_is_no_tag() -> None:
    pages = [page(language="de,en"), page(number=2, language="zh-Hant")]
    made = alto(pages).findall(".//a:Page", ALTO)
    assert [found.get("LANG") for found in made] == [None, "zh-Hant"]
    shown = hocr(pages).findall(".//h:div[@class='ocr_page']", HTML)
    assert [found.get("lang") for found in shown] == [None, "zh-Hant"]


@pytest.mark.parametrize("name", ["hocr", "alto"])
@settings(max_examples=60)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_any_text_is_valid_xml_and_comes_back_but_for_what_xml_cannot_hold(
    name: str, text: str
) -> None:
    found = etree.fromstring(exported(name, document([page(line(text, words=False))])))
    if name == "alto":
        GRAMMAR.assertValid(found)
        shown = " ".join(part.get("CONTENT") for part in found.findall(".//a:String", ALTO))
    else:
        shown = "".join(lines(found, 1)[0].itertext())
    legal = [char for char in text if char.isprintable() and char != " "]
    assert [char for char in shown if char in legal] == legal
