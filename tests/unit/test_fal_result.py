"""What fal's webhook tells, without holding more than it may tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from casola_ocr.model import Job
from casola_ocr.webhooks import fal_result
from tests import exported

PAGES = 500
PAGE = exported.page(exported.line("some words", words=False))


class Long:
    """Outcomes of a document of many pages, and how many of them were read."""

    def __init__(self) -> None:
        self.read = 0

    def result_of(self, job: Job) -> Iterator[bytes]:
        return self._chunks()

    def text(self, job: Job) -> str:
        self.read = PAGES
        return "some words" * PAGES

    def _chunks(self) -> Iterator[bytes]:
        values = json.loads(PAGE.to_json())
        # Wider than what the parser takes at once.
        values["flags"] = ["x" * 10_000]
        yield b'{"page_results":['
        for number in range(PAGES):
            self.read += 1
            yield (b"," if number else b"") + json.dumps({**values, "page": number + 1}).encode()
        yield b"]}"


@pytest.mark.parametrize(
    "origin",
    [
        "fal:fal/ocr",
        "fal:fal-ai/got-ocr/v2",
        "fal:fal-ai/got-ocr/v2?do_format=true",
        "fal:fal-ai/florence-2-large/ocr",
        "fal:fal-ai/florence-2-large/ocr-with-region",
    ],
)
def test_no_more_is_read_than_fits(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal_result, "MAX_PAYLOAD", 1000)
    outcomes, job = Long(), replace(exported.job(PAGES), origin=origin)
    told = fal_result.fal_result(cast(Any, outcomes), job)
    assert told["payload"] is None and told["payload_error"] == fal_result.TOO_LARGE
    assert outcomes.read < PAGES / 2
