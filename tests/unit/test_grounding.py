from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from casola_ocr.text.grounding import LABELS, parse
from casola_ocr.text.sections import Section, sections_of
from casola_ocr.text.traced import SPECIAL_TOKEN
from tests.outputs import CHINESE, PAPER, RECEIPT, SIZE, grounded

MARKERS = ("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "[[1, 2, 30, 40]]", "[[", "text", "title",
           "<|grounding|>", "<｜end▁of▁sentence｜>", "<table>", "</table>", "<tr>", "<td>", "</td>",
           "<|", "|>", "<", "|", "**", "<center>", "\n", "# ", "&lt;", "\\coloneqq", "漢字", "\x0c",
           "a word ", "<td colspan=9>", "\ud800")  # fmt: skip
#: Whatever a model may write: letters, and pieces of its markup in any order.
ANYTHING = st.lists(st.sampled_from(MARKERS) | st.text(max_size=9), max_size=40).map("".join)
BOXES = st.tuples(*[st.integers(0, 999)] * 4).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)
WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


def sections(output: str, size: tuple[int, int] = SIZE) -> list[Section]:
    return list(sections_of(output, parse(output, size)))


def told(output: str) -> list[tuple[str, str]]:
    return [(found.label, found.text) for found in sections(output)]


def test_a_paper_page_becomes_its_blocks() -> None:
    assert told(PAPER) == [
        ("header", "Journal of Reading, vol. 7"),
        ("title", "A Study of Small Errors"),
        ("text", r"Ada Byron\(^{1}\), Karl Weiss\(^{2}\)"),
        ("sub_title", "1. Introduction"),
        (
            "text",
            "Errors that nobody sees are the worst. We\n"
            "define \\(e := 1 - p\\) for a<b.\n\n- first\n- second",
        ),
        ("equation", r"\[ E[x] = \sum_{i} p_i x_i \tag{1} \]"),
        ("image", ""),
        ("image_caption", "Figure 1 | What was read."),
        ("table_caption", "Table 1: Errors by kind & age"),
        ("table", "Kind\tErrors\n\told\tnew\nR&D <x>\t12\t\\(3 \\pm 1\\)"),
        ("footer", "17"),
    ]
    assert not parse(PAPER, SIZE).malformed


def test_the_models_markdown_stays_and_a_title_gets_one_mark() -> None:
    markdown = {found.label: found.markdown for found in sections(PAPER)}
    assert markdown["title"] == "# A Study of Small Errors"
    assert markdown["sub_title"] == "## **1. Introduction**"
    assert markdown["image"] == "<!-- image -->"
    assert markdown["table"].startswith('<table>\n<tr><td rowspan="2">Kind</td>')
    assert sections(grounded("title", [(0, 0, 9, 9)], "No mark"))[0].markdown == "# No mark"
    assert sections(grounded("sub_title", [(0, 0, 9, 9)], "No mark"))[0].markdown == "## No mark"


def test_boxes_are_pixels_of_the_page() -> None:
    found = parse(PAPER, SIZE).passages
    assert found[0].boxes == ((120, 60, 880, 90),)
    assert found[4].boxes == ((110, 360, 480, 800), (520, 360, 890, 600))
    whole = parse(grounded("text", [(0, 0, 999, 999), (999, 999, 999, 999)], "x"), (640, 480))
    assert whole.passages[0].boxes == ((0, 0, 640, 480), (639, 479, 640, 480))


def test_a_receipt_without_markup_is_one_block_without_a_place() -> None:
    (found,) = sections(RECEIPT)
    assert (found.label, found.boxes, found.text) == ("text", (), RECEIPT)


def test_a_chinese_page() -> None:
    assert told(CHINESE) == [
        ("title", "关于加强安全管理的通知"),
        ("text", "各部门：请于2024年5月1日前完成检查。\n联系人：王小明。"),
    ]


def test_text_before_the_first_marker_is_kept() -> None:
    assert told("Before\n" + grounded("text", [(1, 2, 3, 4)], "behind")) == [
        ("text", "Before"),
        ("text", "behind"),
    ]


def test_text_in_the_place_of_labels_is_text() -> None:
    output = grounded("Total due", [(1, 2, 30, 40)], "") + grounded("8.30", [(50, 2, 90, 40)], "")
    assert told(output) == [("text", "Total due"), ("text", "8.30")]
    assert [found.boxes for found in sections(output)] == [((1, 4, 30, 80),), ((50, 4, 90, 80),)]
    assert told(grounded("Total due", [(1, 2, 3, 4)], "8.30")) == [
        ("text", "Total due"),
        ("text", "8.30"),
    ]


def test_a_label_of_the_models_own_is_kept() -> None:
    assert told(grounded("stanza", [(1, 2, 3, 4)], "Roses")) == [("stanza", "Roses")]


@pytest.mark.parametrize(
    ("output", "blocks"),
    [
        ("one\n<|ref|>tit", [("text", "one")]),
        ("one\n<|ref|>title<|/ref|", [("text", "one")]),
        ("one\n<|re", [("text", "one")]),
        ("<|ref|>title<|/ref|><|det|>[[1,2", []),
        ("<|ref|>title<|/ref|><|det|>[[1,2,3,4]]\n2024 was", [("title", "2024 was")]),
        ("<|ref|>title<|/ref|> Name", [("title", "Name")]),
        ("<|ref|>title<|det|>[[1,2,3,4]]<|/det|>Name", [("title", "Name")]),
        ("<|ref|>Not a label\nat all<|ref|>text<|/ref|>", [("text", "Not a label\nat all")]),
        ("<|det|>[[1,2,3,4]]<|/det|>Name", [("text", "Name")]),
        ("<|ref|>text<|/ref|><|det|>words<|/det|> more", [("text", "words  more")]),
        ("<|ref|>text<|/ref|><|det|>[[1,2,3,4]] words<|/det|>", [("text", "words")]),
        ("<|ref|>text<|/ref|><|det|><|/det|>Name", [("text", "Name")]),
        ("<|ref|><|ref|>text<|/ref|><|det|>[[1,2,3,4]]<|/det|>Name", [("text", "Name")]),
        ("<|/ref|>Name<|/det|>", [("text", "Name")]),
        ("<|ref|>word<|ref|>text", [("text", "word")]),
        ("<|ref|>title<|ref|>tex", []),
        ("<|ref|>text<|/ref|><|det|>2024 was", [("text", "2024 was")]),
        ("Name<|grounding|><｜end▁of▁sentence｜>", [("text", "Name")]),
    ],
)
def test_markup_that_is_cut_off_or_out_of_place_costs_no_text(
    output: str, blocks: list[tuple[str, str]]
) -> None:
    assert told(output) == blocks
    assert parse(output, SIZE).malformed


@pytest.mark.parametrize(
    ("numbers", "boxes"),
    [
        ("[[1, 2, 3]]", ()),
        ("[[30, 2, 3, 4]]", ()),
        ("[[1, 2, 3, 4], [1, 2]]", ((1, 4, 3, 8),)),
        ("[1, 2, 3, 4]", ((1, 4, 3, 8),)),
        ("[[1.2, 2.0, 3.4, 4.0]]", ((1, 4, 3, 8),)),
        ("[[1, 2, 1500, 4]]", ((1, 4, 999, 8),)),
        ("[[-5, 2, 3, 4]]", ((0, 4, 3, 8),)),
        ("[[1e400, 2, 3, 4]]", ()),
        ("[[true, 2, 3, 4]]", ()),
        ("[[[1, 2, 3, 4]]]", ()),
        ("[[1, 2, 3, NaN]]", ()),
        (f"[[1, 2, 3, {'9' * 5000}]]", ()),
        ("[" * 100_000, ()),
        (f"[[1, 2, {'9' * 400}, 4]]", ((1, 4, 999, 8),)),
        ("[]", ()),
        ('{"a": 1}', ()),
        ("7", ()),
    ],
)
def test_numbers_that_are_no_box_are_survived(numbers: str, boxes: tuple[object, ...]) -> None:
    grounding = parse(f"<|ref|>text<|/ref|><|det|>{numbers}<|/det|>Name", SIZE)
    assert grounding.malformed
    assert grounding.passages[-1].boxes == boxes


def test_nothing_in_the_output_is_evaluated() -> None:
    output = "<|ref|>text<|/ref|><|det|>__import__('os').abort()<|/det|>Name"
    assert told(output) == [("text", "__import__('os').abort() Name")]


def test_pieces_around_a_special_token_do_not_join_to_another() -> None:
    (found,) = sections("a <|<|x|>det|> b")
    assert SPECIAL_TOKEN.search(found.text) is None
    assert SPECIAL_TOKEN.search(sections("<**|x|**> <<center>|x|>")[0].text) is None
    assert SPECIAL_TOKEN.search(sections("<table><td>&lt;|det|&gt;</table>")[0].text) is None


@pytest.mark.parametrize(
    "prose",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "</div><!-- x --><?php ?>",
        "<http://evil.example>",
        "[click](javascript:alert(1)) ![pixel](http://evil.example/a.png)",
        "\\\\[click](http://evil.example)",
        "[click][1]\n\n[1]: http://evil.example",
    ],
)
def test_html_and_links_that_a_page_shows_are_text_in_markdown(prose: str) -> None:
    html = MarkdownIt("commonmark", {"html": True}).render(sections(prose)[0].markdown)
    assert not any(tag in html for tag in ("<script", "<img", "<a ", "</div", "<!--", "<?"))


def test_a_line_of_dashes_does_not_part_pages_in_markdown() -> None:
    assert sections("one\n---\n\ntwo")[0].markdown == "one\n\\---\n\ntwo"


@given(ANYTHING, st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
def test_whatever_is_written_comes_out_clean_and_inside_the_page(
    output: str, size: tuple[int, int]
) -> None:
    grounding = parse(output, size)
    for start, end in (*grounding.markup, *((each.start, each.end) for each in grounding.passages)):
        assert 0 <= start <= end <= len(output)
    for passage in grounding.passages:
        for x0, y0, x1, y1 in passage.boxes:
            assert 0 <= x0 < x1 <= size[0]
            assert 0 <= y0 < y1 <= size[1]
    for section in sections_of(output, grounding):
        assert SPECIAL_TOKEN.search(section.text) is None
        assert SPECIAL_TOKEN.search(section.markdown) is None
        assert "\x0c" not in section.text
        section.markdown.encode()
        for line in section.lines:
            assert len(line.at) == len(line.text)
            assert all(-1 <= offset < len(output) for offset in line.at)


@given(st.lists(st.tuples(st.sampled_from(sorted(LABELS - {"table"})), BOXES, WORDS), max_size=9))
def test_what_is_well_formed_is_read_back(blocks: list[tuple[str, tuple[int, ...], str]]) -> None:
    output = "".join(grounded(label, [box], words) for label, box, words in blocks)
    grounding = parse(output, (999, 999))
    assert not grounding.malformed
    assert told(output) == [(label, words) for label, _, words in blocks]
    for (_, (x0, y0, x1, y1), _), passage in zip(blocks, grounding.passages, strict=True):
        left, top = min(x0, 998), min(y0, 998)
        assert passage.boxes == ((left, top, max(left + 1, x1), max(top + 1, y1)),)


@pytest.mark.parametrize(
    "piece",
    ["<|ref|>", "<|det|>[[", "<|", "<|ref|>text<|/ref|><|det|>[[1,2,3,4]]<|/det|>", "<table>",
     "<td>", "<td colspan=50 rowspan=50>x", "[", "**a ", "** ", "\\", "\n ", " ", "<center>",
     "&lt"],
)  # fmt: skip
def test_a_hostile_output_takes_time_in_proportion_to_its_length(piece: str) -> None:
    output = piece * (120_000 // len(piece))
    begin = time.perf_counter()
    for text in (output, f"<|ref|>table<|/ref|>{output}", f"<|det|>{output}"):
        assert sum(len(section.text) for section in sections(text)) < 50 * len(text)
    assert time.perf_counter() - begin < 6
