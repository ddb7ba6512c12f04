"""A prefork child's pages whose time is up."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image

from casola_ocr.errors import EngineFailed, PageTimeout
from casola_ocr.model import Wishes
from workers.tasks import TimedEngine


class Failing:
    name = version = "failing"

    def __init__(self, error: Exception, cause: Exception | None = None):
        self._error, self._cause = error, cause

    def read(self, image: Image.Image, **_: Any) -> Any:
        raise self._error from self._cause


def read(engine: Failing) -> None:
    TimedEngine(engine).read(
        Image.new("RGB", (1, 1)), page=1, attempt=1, language="auto", wishes=Wishes()
    )


@pytest.mark.parametrize(
    "engine",
    [Failing(SoftTimeLimitExceeded()), Failing(EngineFailed(), SoftTimeLimitExceeded())],
    ids=["as it is", "taken for a failure"],
)
def test_a_time_limit_is_told_as_one(engine: Failing) -> None:
    with pytest.raises(PageTimeout):
        read(engine)


def test_a_failure_stays_one() -> None:
    with pytest.raises(EngineFailed) as caught:
        read(Failing(EngineFailed(), RuntimeError()))
    assert type(caught.value) is EngineFailed
