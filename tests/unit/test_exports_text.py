"""Plain text, Markdown and JSON."""

from __future__ import annotations

import json
from dataclasses import fields

import jsonschema
import pytest

from casola_ocr.errors import UnknownFormat
from casola_ocr.exports import FORMATS, find_format, result_schema
from casola_ocr.exports.document import lines_of
from casola_ocr.pages import Block, PageResult
from tests.exported import document, exported, failed, line, page


def test_pages_of_text_have_a_form_feed_between_them() -> None:
    pages = [page(line("Größe")), page(number=2), page(line("漢字"), number=3)]
    assert exported("txt", document(pages)).decode() == "Größe\f\f漢字"


def test_markdown_is_the_engines_own_where_it_gave_one() -> None:
    pages = [
        page(line("# x"), markdown="# Title"),
        page(line("# x"), number=2),
        page(number=3, text="* a\n\nb"),
        failed(4),
    ]
    assert exported("md", document(pages)).decode() == (
        "# Title\n\n---\n\n\\# x\n\n---\n\n\\* a\n\nb\n\n---\n\n"
        "<!-- page 4 could not be read: damaged_document -->\n"
    )


def test_the_json_is_the_stored_result_and_follows_the_schema() -> None:
    table = page(line("a", row=1), blocks=(Block(label="table", box=(0, 0, 1, 1)),), rotation=90)
    result = json.loads(exported("json", document([table, failed(2)])))
    assert result["page_results"][0]["blocks"] == [
        {"label": "table", "box": [0, 0, 1, 1], "span": None}
    ]
    check(result)


def test_a_result_from_before_pages_had_blocks_is_read_and_follows_the_schema() -> None:
    made = document([page(line("old"))])
    result = json.loads(b"".join(made.body))
    for name in ("blocks", "rotation", "confidence_raw", "flags", "language", "markdown"):
        del result["page_results"][0][name]
    for found in result["page_results"][0]["lines"]:
        del found["block"], found["row"]
    check(result)
    old = document([])
    object.__setattr__(old, "body", iter([json.dumps(result).encode()]))
    (read,) = old.pages()
    assert (read.blocks, read.rotation, read.lines[0].row) == ((), 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"page": "one"}, {"lines": [{"text": "a"}]}, {"blocks": [{"label": "a", "box": [1, 2]}]},
     {"error": {"code": 5}}],
)  # fmt: skip
def test_the_schema_refuses_what_is_no_page(wrong: dict[str, object]) -> None:
    result = json.loads(b"".join(document([page(line("a"))]).body))
    result["page_results"][0].update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        check(result)


def test_the_schema_names_every_field_of_a_page() -> None:
    properties = result_schema()["$defs"]["PageResult"]["properties"]
    assert set(properties) == {field.name for field in fields(PageResult)}


def test_the_schema_names_every_field_of_a_result() -> None:
    result = json.loads(b"".join(document([page()]).body))
    assert set(result_schema()["properties"]) == set(result)


def check(result: object) -> None:
    schema = result_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result, schema, cls=jsonschema.Draft202012Validator)


def test_an_unknown_format_is_answered_with_all_that_there_are() -> None:
    with pytest.raises(UnknownFormat) as caught:
        find_format("docx")
    assert all(name in caught.value.detail for name in FORMATS)


def test_pages_are_read_one_by_one_and_not_before_they_are_asked_for() -> None:
    made = document([page(line(f"page {n}"), number=n) for n in range(1, 400)])
    taken = 0

    def counted() -> object:
        nonlocal taken
        for chunk in made_body:
            taken += 1
            yield chunk

    made_body = made.body
    object.__setattr__(made, "body", counted())
    chunks = FORMATS["txt"].write(made)
    assert next(chunks) == b"page 1"
    # The parser reads ahead 64 KiB, not the document.
    assert taken < 200


def test_text_without_lines_is_spread_over_the_page() -> None:
    first, second = lines_of(page(text="one\n\ntwo"))
    assert (first.text, second.text) == ("one", "two")
    assert (first.box, second.box) == ((0, 0, 800, 200), (0, 200, 800, 400))
