"""The checkpoints, and an engine for whoever names the version it needs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vllm.checkpoints import Version, write_checkpoint
from tests.vllm.live import ENVIRONMENT, LiveEngine

os.environ.update(ENVIRONMENT)

with warnings.catch_warnings():
    # Others' warnings, when they are imported, are not ours to be stopped by.
    warnings.simplefilter("ignore")
    import vllm.model_executor.models.deepseek_ocr
    import vllm.v1.engine.async_llm  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    # vLLM leaves its sockets to the garbage collector.
    config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")


@pytest.fixture(scope="session")
def checkpoint_v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "deepseek-ocr", "v1")


@pytest.fixture(scope="session")
def checkpoint_v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "deepseek-ocr-2", "v2")


@pytest.fixture(scope="module", params=["v1", "v2"])
def engine(request: pytest.FixtureRequest) -> Iterator[LiveEngine]:
    """An engine of each version, one after the other."""
    version: Version = request.param
    live = LiveEngine(request.getfixturevalue(f"checkpoint_{version}"))
    yield live
    live.close()
