"""The checkpoints, and engines: each start takes most of a minute, so tests share them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from casola_ocr.settings import Settings
from tests.pages import draw_page
from tests.vllm.checkpoints import Version, write_checkpoint
from tests.vllm.live import CPU_ARGUMENTS, ENVIRONMENT, LiveEngine
from workers.engines.vllm_engine import InProcess

os.environ.update(ENVIRONMENT)

V1 = "deepseek-ocr"
V1_PAGE = draw_page(["A small page"], width=320).convert("RGB")
#: Tokens that a page gets.
TOKENS = 12

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


def settings(**more: object) -> Settings:
    return Settings(
        vllm_dtype="float32",
        vllm_max_model_tokens=2048,
        slots=4,
        vllm_args=json.dumps(CPU_ARGUMENTS),
        **{"vllm_max_tokens": TOKENS, **more},
    )


@pytest.fixture(scope="session")
def within(checkpoint_v1: Path) -> Iterator[InProcess]:
    """The first version within this process, as a worker has it."""
    transport = InProcess(V1, str(checkpoint_v1), settings())
    yield transport
    transport.close()


@pytest.fixture(scope="module", params=["v1", "v2"])
def engine(request: pytest.FixtureRequest) -> Iterator[LiveEngine]:
    """An engine of each version, one after the other."""
    version: Version = request.param
    live = LiveEngine(request.getfixturevalue(f"checkpoint_{version}"))
    yield live
    live.close()
