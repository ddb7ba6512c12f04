from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html as lxml_html

from casola_ocr.text.html_table import read_table, table_html, table_lines, tables_in
from casola_ocr.text.traced import Traced

PIECES = ("<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<th>", "<td rowspan=2>", "a",
          "<td colspan='3'>", "<thead>", "</thead>", "<b>", "<!--", "<script>", "&amp;", " ", "\n",
          "<br>", "&#10;", "&lt;td&gt;", "<td", ">", "<caption>")  # fmt: skip


def traced(text: str) -> Traced:
    return Traced.of(text, 0, len(text))


def flat(text: str) -> list[str]:
    return [line.text for line in table_lines(read_table(traced(text)))]


def safe(text: str) -> str:
    return table_html(read_table(traced(text)))


def test_cells_of_a_column_have_as_many_tabs_before_them() -> None:
    table = """<table>
      <tr><th rowspan="2">Kind</th><th colspan="2">Errors</th><th rowspan=2>Sum</th></tr>
      <tr><th>old</th><th>new</th></tr>
      <tr><td>A</td><td>1</td><td></td><td>1</td></tr>
    </table>"""
    assert flat(table) == ["Kind\tErrors\t\tSum", "\told\tnew", "A\t1\t\t1"]


def test_characters_know_where_they_stood() -> None:
    text = "<table><tr><td>R&amp;D</td><td> x<br>y</td></tr></table>"
    (line,) = table_lines(read_table(traced(text)))
    assert line.text == "R&D\tx y"
    assert [text[at] for at in line.at if at >= 0] == ["R", "&", "D", "x", "<", "y"]


def test_html_keeps_the_table_and_shows_all_else_as_text() -> None:
    table = (
        '<table border="1" onclick="alert(1)"><caption>Prices</caption><thead><tr><th>a</th></tr>'
        '</thead><tbody><tr><td rowspan="2" style="x">1 < 2 &amp; <b>3</b></td>'
        "<td><script>alert(1)</script></td></tr></tbody></table>"
    )
    assert safe(table) == (
        "<table>\n<tr><td>Prices</td></tr>\n<thead>\n<tr><th>a</th></tr>\n</thead>\n<tbody>\n"
        '<tr><td rowspan="2">1 &lt; 2 &amp; &lt;b&gt;3&lt;/b&gt;</td>'
        "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td></tr>\n</tbody>\n</table>"
    )


@pytest.mark.parametrize("span", ["0", "9999", "99999", "-3", "x"])
def test_a_span_is_at_least_one_and_never_huge(span: str) -> None:
    (line,) = flat(f"<table><tr><td colspan='{span}'>a</td><td>b</td></tr></table>")
    assert line.strip("\t").split("\t")[:: len(line) - 2 or 1] == ["a", "b"]
    assert len(line) < 60


def test_a_table_that_is_cut_off_keeps_its_cells() -> None:
    assert flat("<table><tr><td>a</td><td>b") == ["a\tb"]
    assert flat("<tr><td>a</td></tr><tr><td>b</td></tr></table>") == ["a", "b"]
    assert flat("<table><tr><td>a</td><td colsp") == ["a\t<td colsp"]


def test_tables_are_told_from_what_stands_around_them() -> None:
    text = "x <table><tr><td><table>y</table></td></tr></table> z <TABLE>w"
    parts = [(is_table, text[start:end]) for is_table, start, end in tables_in(text, whole=False)]
    assert parts == [
        (False, "x "),
        (True, "<table><tr><td><table>y</table></td></tr></table>"),
        (False, " z "),
        (True, "<TABLE>w"),
    ]
    assert tables_in("<tr><td>a", whole=True) == [(True, 0, 9)]
    assert tables_in("<tr><td>a", whole=False) == [(False, 0, 9)]
    assert tables_in("| a | b |", whole=True) == [(False, 0, 9)]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_html_is_a_table_for_whoever_parses_it_and_loses_no_text(table: str) -> None:
    made = safe(table)
    if not made:
        assert flat(table) == []
        return
    assert "\n\n" not in made
    root = lxml_html.fragment_fromstring(made)
    assert {node.tag for node in root.iter()} <= {"table", "thead", "tbody", "tr", "td", "th"}
    assert not any(set(node.attrib) - {"rowspan", "colspan"} for node in root.iter())
    shown = [node.text or "" for node in root.iter("td", "th")]
    assert [text for text in shown if text] == [
        cell for line in flat(table) for cell in line.split("\t") if cell
    ]
