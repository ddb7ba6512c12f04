"""Metadata: one rule, told by each dialect in its own shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.dialects import mistral_batches
from casola_ocr.errors import MalformedRequest
from casola_ocr.metadata import check_metadata
from casola_ocr.wire import mistral_ocr, openai_chat, openai_responses
from casola_ocr.wire.openai_errors import refusal

FULL = {f"{number:064}": "v" * 512 for number in range(16)}
WRONG: list[Any] = [
    {**FULL, "one more": ""},
    {"n" * 65: ""},
    {"n": "v" * 513},
    {"n": 1},
    {"n": None},
    ["n"],
    "n",
    0,
]


def test_what_is_within_the_limits_is_taken() -> None:
    assert check_metadata(FULL) == FULL
    assert check_metadata(None) == check_metadata({}) == {}


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("parse", [openai_chat.parse, openai_responses.parse])
def test_openais_requests_name_it_as_their_parameter(
    parse: Callable[[dict[str, Any]], object], wrong: Any
) -> None:
    url = "data:image/png;base64,AAAA"
    chat = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    response = {"role": "user", "content": [{"type": "input_image", "image_url": url}]}
    body = {"model": "auto", "messages": [chat], "input": [response]}
    parse({**body, "metadata": FULL})
    with pytest.raises(MalformedRequest) as refused:
        parse({**body, "metadata": wrong})
    status, told = refusal(refused.value)
    assert (status, told["param"], told["type"]) == (400, "metadata", "invalid_request_error")


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_mistrals_batch_jobs_name_it_as_a_place_in_the_body(wrong: Any) -> None:
    body = {"endpoint": "/v1/ocr", "input_files": ["file-1"]}
    assert mistral_batches.parse({**body, "metadata": FULL}).metadata == FULL
    with pytest.raises(MalformedRequest) as refused:
        mistral_batches.parse({**body, "metadata": wrong})
    status, told = mistral_ocr.refusal(refused.value)
    assert (status, told["detail"][0]["loc"]) == (422, ["body", "metadata"])
