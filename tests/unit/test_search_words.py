"""What is a word, what a query asks, and what a snippet shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casola_ocr.search.query import parse
from casola_ocr.search.snippets import LENGTH, marks, snippet
from casola_ocr.search.words import tidy, words


def listed(text: str) -> list[str]:
    return [word for word, _, _ in words(tidy(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The INVOICE, No. 4711/b", ["the", "invoice", "no", "4711", "b"]),
        ("Müller Größe ŁÓDŹ élève", ["muller", "grosse", "łodz", "eleve"]),
        ("Cafe\u0301 ﬁne ＡＢＣ", ["cafe", "fine", "abc"]),
        ("inter-\nnational well-known", ["international", "well", "known"]),
        ("Haus-\nTür 12-\n34", ["haus", "tur", "12", "34"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        ("发票号码", ["发票", "票号", "号码", "码"]),
        ("がく", ["がく", "く"]),
        ("第3章abc", ["第", "3", "章", "abc"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("학교에서", ["학교에서"]),
        ("scan_2024-03.pdf", ["scan", "2024", "03", "pdf"]),
        ("\ud800half\0", ["half"]),
        ("\u0300 ½ ﷺ", ["12", "صلىاللهعليهوسلم"]),
        ("", []),
    ],
)
def test_the_words_of_a_text(text: str, expected: list[str]) -> None:
    assert listed(text) == expected


@given(st.text())
def test_words_stand_where_they_are_said_to_and_are_only_letters_digits_and_marks(
    text: str,
) -> None:
    tidied = tidy(text)
    tidied.encode()
    for word, start, end in words(tidied):
        assert 0 <= start < end <= len(tidied)
        assert word
        assert not set(word) & set(' "*()^:+-\0')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invoice of", '("invoice" *) AND ("of")'),
        ('"the invoice" 2024', '("the invoice") AND ("2024" *)'),
        ('"not closed', '("not closed")'),
        ("long-term", '("long term" * OR "longterm" *)'),
        ("2024-03", '("2024 03")'),
        ("发票", '("发票")'),
        ("发票号码", '("发票 票号 号码")'),
        ("票", '("票" *)'),
        ("北京2024", '("北京 京 2024" *)'),
        ('"北 京"', '("北 京" *)'),
        ("NEAR(a b) OR * ^c name:d {x}", '("near a" ) AND'),
        ("!!! *** ((", ""),
        (" ".join(f"w{n}" for n in range(50)), None),
    ],
)
def test_what_a_query_asks(text: str, expected: str | None) -> None:
    found = parse(text).to_fts()
    if expected is None:
        assert found.count(" AND ") == 15
    elif expected.endswith("AND"):
        assert found == '("near a") AND ("b") AND ("or") AND ("c") AND ("name d") AND ("x")'
    else:
        assert found == expected


def test_a_snippet_is_of_the_page_that_has_all_the_words_and_marks_them() -> None:
    text = (
        "An invoice.\fNothing.\f" + "Filler goes here. " * 20 + "The Invoice of\nMiller\n\nis due."
    )
    found = snippet(parse("invoice mill"), "a.pdf", tidy(text))
    assert found is not None
    assert (found.source, found.page) == ("text", 3)
    assert [found.text[start:end] for start, end in found.marks] == ["Invoice", "Miller"]
    assert found.text.startswith("…")
    assert found.text.endswith("Invoice of Miller is due.")


def test_the_part_of_a_long_page_is_shown_without_what_is_around_it() -> None:
    text = (
        "Worte und wieder Worte. " * 400 + "Hier steht Größe,\nja Grosse Worte. " + "Ende. " * 400
    )
    found = snippet(parse("grosse"), "a.pdf", tidy(text))
    assert found is not None
    assert [found.text[start:end] for start, end in found.marks] == ["Größe", "Grosse"]
    assert found.text.startswith("…")
    assert found.text.endswith("…")
    assert "steht Größe, ja Grosse Worte" in found.text
    plain = snippet(parse("grosse"), "a.pdf", tidy(text.replace("ß", "ss").replace("ö", "o")))
    assert plain is not None
    assert [plain.text[start:end] for start, end in plain.marks] == ["Grosse", "Grosse"]
    assert (plain.text[0], plain.text[-1]) == ("…", "…")


def test_the_part_of_a_long_page_without_spaces_is_shown() -> None:
    found = snippet(parse("专用发票"), "a.pdf", "增值税" * 500 + "专用发票号码" + "增值税" * 500)
    assert found is not None
    assert [found.text[start:end] for start, end in found.marks] == ["专用发票"]
    assert (found.text[0], found.text[-1]) == ("…", "…")
    assert len(found.text) <= LENGTH + 2


def test_a_name_that_matches_is_shown_when_the_text_does_not() -> None:
    found = snippet(parse("rechn"), "Rechnung <b>.pdf", "something else")
    assert found is not None
    assert found.to_dict() == {
        "source": "file_name", "page": None, "text": "Rechnung <b>.pdf", "marks": [[0, 8]],
    }  # fmt: skip
    assert snippet(parse("nowhere"), "Rechnung.pdf", "something else") is None


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("发票号", "增值税发票号码", ["发票号"]),
        ("票", "增值税发票号码", ["票"]),
        ("muller", "Herr Müller", ["Müller"]),
        ("long-term", "a long-term and a longterm plan", ["long-term", "longterm"]),
        ('"a b"', "a b a c", ["a b"]),
        ("cat", "concatenate cats", ["cats"]),
    ],
)
def test_what_is_marked(query: str, text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in marks(parse(query), text)] == expected


@given(
    st.text(alphabet='ab cé\n\f发票号-"*', max_size=400), st.text(alphabet='abé发票 "-', max_size=9)
)
def test_marks_lie_in_the_snippet_in_order(text: str, query: str) -> None:
    found = snippet(parse(query), "name.pdf", tidy(text))
    if found is not None:
        assert found.marks
        edges = [edge for mark in found.marks for edge in mark]
        assert edges == sorted(edges)
        assert edges[-1] <= len(found.text)
        assert len(found.text) <= LENGTH + max(end - start for start, end in found.marks) + 2
        for start, end in found.marks:
            assert found.text[start:end].strip()
