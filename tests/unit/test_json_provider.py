"""Text that no encoding can write, on every surface."""

from __future__ import annotations

import pytest

from tests.api_stub import make_world


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/chat/completions", r'{"messages": [{"content": [{"type": "\ud800x"}]}]}'),
        ("/openai/v1/responses", r'{"metadata": {"k": "\uDFFF"}}'),
        ("/openai/v1/batches", r'{"metadata": {"\udbff": "v"}}'),
        ("/mistral/v1/batch/jobs", r'{"metadata": {"a": "\ud800"}}'),
        ("/mistral/v1/ocr", r'{"model": "\ud800"}'),
        ("/fal/ocr", r'{"image_url": "\ud83dx\ude00"}'),
        ("/api/v1/library/delete", r'{"request_ids": ["\ud800"]}'),
        ("/api/v1/jobs", r'{"url": "data:,x", "webhook_url": "https://a.example/\ud800"}'),
    ],
)
def test_half_a_character_is_no_json(path: str, body: str) -> None:
    client = make_world().client
    assert client.post(path, data=body, content_type="application/json").status_code in (400, 422)


@pytest.mark.parametrize("half", [b"\xed\xa0\x80", b"\xed\xbf\xbf"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/responses", b'{"metadata": {"k": "%s"}}'),
        ("/mistral/v1/batch/jobs", b'{"metadata": {"k": "%s"}}'),
        ("/fal/ocr", b'{"image_url": "data:,x", "prompt": "%s"}'),
        ("/api/v1/uploads", b'{"file_name": "%s"}'),
        ("/session", b'{"token": "%s"}'),
    ],
)
def test_bytes_that_would_be_half_a_character_are_no_json(
    path: str, body: bytes, half: bytes
) -> None:
    client = make_world().client
    answer = client.post(
        path,
        data=body % half,
        content_type="application/json",
        headers={"Origin": "http://localhost"},
    )
    assert (answer.status_code, b"not valid JSON" in answer.data) == (400, True)


def test_json_is_utf8_with_a_byte_order_mark_or_without() -> None:
    app = make_world().client.application
    assert app.json.loads(b'\xef\xbb\xbf{"a": "\xc3\xa9"}') == {"a": "é"}
    with pytest.raises(ValueError):
        app.json.loads('{"a": 1}'.encode("utf-16"))


def test_a_pair_of_halves_is_one_character() -> None:
    app = make_world().client.application
    assert app.json.loads(rb'{"a": "\ud83d\ude00"}') == {"a": "😀"}


def test_half_a_character_that_was_stored_can_be_told() -> None:
    app = make_world().client.application
    assert app.json.dumps({"model": "\ud800é"}) == '{"model": "?é"}'
