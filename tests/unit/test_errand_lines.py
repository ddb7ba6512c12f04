"""Looking through the lines of an errand."""

from __future__ import annotations

import io
import json
import math
import tracemalloc
from types import SimpleNamespace
from typing import Any, cast

import pytest

from casola_ocr import files
from casola_ocr.errands.checking import MAX_ERRORS, Check
from casola_ocr.errands.endpoints import ENDPOINTS
from casola_ocr.errands.lines import LineRefused, Request, parse_line, read_lines
from casola_ocr.errands.parts import Answered, as_line
from casola_ocr.errors import MalformedRequest
from tests import exported


def line(custom_id: Any = "a", **other: Any) -> bytes:
    values = {
        "custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "auto"}, **other,
    }  # fmt: skip
    return json.dumps(values).encode() + b"\n"


def found(content: bytes, endpoint: str = "/v1/chat/completions") -> Check:
    check = Check(ENDPOINTS[endpoint], 1000)
    for _ in check.run(io.BytesIO(content)):
        continue
    return check


def test_blank_lines_and_a_byte_order_mark_are_passed_over() -> None:
    content = b"\xef\xbb\xbfone\n\n  \ntwo\r\nthree"
    read = list(read_lines(io.BytesIO(content), 100))
    assert read == [(1, b"one\n"), (4, b"two\r\n"), (5, b"three")]


def test_a_long_line_is_never_held_whole() -> None:
    content = b"x" * 5000 + b"\nshort\n" + b"y" * 10 + b"\n" + b"z" * 11
    read = list(read_lines(io.BytesIO(content), 10))
    assert read == [(1, None), (2, b"short\n"), (3, b"y" * 10 + b"\n"), (4, None)]


@pytest.mark.parametrize("bad", [None, b"{", b"[]", b"1", b"\xff{}", b"[" * 100_000])
def test_what_is_no_object_is_refused(bad: bytes | None) -> None:
    with pytest.raises(LineRefused) as error:
        parse_line(bad)
    assert error.value.code == "invalid_json_line"


def test_lines_in_order_are_counted_and_their_model_is_known() -> None:
    check = found(line("a") + line("b", url="/openai/v1/chat/completions"))
    assert (check.total, check.errors, check.model) == (2, [], "auto")
    assert found(line("a") + line("b", body={"model": "tesseract"})).model == ""


def test_the_second_of_two_names_is_refused() -> None:
    (error,) = found(line("a") + line("b") + line("a")).errors
    assert (error.code, error.line, error.param) == ("duplicate_custom_id", 3, "custom_id")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"custom_id": 7}, "missing_required_parameter"),
        ({"custom_id": ""}, "missing_required_parameter"),
        ({"body": []}, "missing_required_parameter"),
        ({"method": "GET"}, "invalid_method"),
        ({"url": "/v1/embeddings"}, "url_mismatch"),
    ],
)
def test_a_line_that_is_no_request_is_refused(wrong: dict[str, Any], code: str) -> None:
    assert [error.code for error in found(line(**wrong)).errors] == [code]


def test_not_all_errors_of_a_hopeless_file_are_told() -> None:
    assert len(found(b"x\n" * 5000).errors) == MAX_ERRORS


def test_lines_for_mistral_need_no_name() -> None:
    check = found(b'{"body": {}}\n{"body": {}, "custom_id": "b"}\n', "/v1/ocr")
    assert (check.total, check.errors) == (2, [])


def test_half_a_character_in_a_name_can_be_written() -> None:
    check = found(line("\ud800"))
    assert check.errors == []
    assert json.loads(as_line({"custom_id": "\ud800 é"})) == {"custom_id": "\ud800 é"}


@pytest.mark.parametrize(
    "told",
    [{"user": "\ud800"}, {"metadata": {"\udfff": "x"}}, {"top_p": math.inf},
     {"text": {"format": {"type": "text", "x": math.nan}}}],
)  # fmt: skip
def test_what_a_response_could_not_tell_again_is_its_lines_own_error(
    told: dict[str, Any],
) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    body = {"model": "auto", "input": [{"role": "user", "content": [image]}]}
    endpoint = ENDPOINTS["/v1/responses"]
    endpoint.parse(Request(number=1, custom_id="a", body=body), "auto")
    with pytest.raises(MalformedRequest):
        endpoint.parse(Request(number=1, custom_id="a", body={**body, **told}), "auto")


def test_a_long_answer_is_written_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SPOOL_BYTES", 10_000)
    words = exported.line(" ".join(["word"] * 50))
    pages = [exported.page(words, number=number) for number in range(1, 201)]
    read = exported.document(pages)
    body = {
        "model": "auto",
        "confidence_scores_granularity": "word",
        "document": {"type": "image_url", "image_url": "https://x.example/a.png"},
    }
    request = Request(number=1, custom_id="null", body=body)
    asked = ENDPOINTS["/v1/ocr"].parse(request, "").light()
    exports = cast(Any, SimpleNamespace(document=lambda *told: read))
    tracemalloc.start()
    try:
        answer, counts = asked.answer(cast(Any, None), exports, [read.job])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    values = {"custom_id": "null", "error": None, "response": {"body": None}}
    written = io.BytesIO()
    Answered(kind="output", values=values, counts=counts, body=answer).write(written)
    assert most < len(written.getvalue()) / 2
    told = json.loads(written.getvalue())
    assert (told["custom_id"], told["error"]) == ("null", None)
    assert [page["index"] for page in told["response"]["body"]["pages"]] == list(range(200))
    assert written.getvalue().index(b"\n") == len(written.getvalue()) - 1
