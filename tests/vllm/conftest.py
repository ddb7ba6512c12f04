"""The checkpoints, and engines: each start takes twenty seconds, so tests share them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from casola_ocr.settings import Settings
from tests.pages import draw_page
from tests.vllm.checkpoints import Version, write_checkpoint
from tests.vllm.live import CPU_ARGUMENTS, ENVIRONMENT, LiveEngine
from workers.engines.vllm_engine import InProcess

os.environ.update(ENVIRONMENT)

V1, V2 = "deepseek-ocr", "deepseek-ocr-v2"
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


class Transports:
    """Each version within this process, as a worker has it, made when a test first wants it."""

    def __init__(self, checkpoints: Mapping[Version, Path]):
        self._checkpoints = checkpoints
        self._kept: dict[Version, InProcess] = {}

    def of(self, version: Version) -> InProcess:
        """The engine that is kept; a new one where a test has killed it."""
        if version in self._kept and not self._kept[version].alive():
            self._kept.pop(version).close()
        if version not in self._kept:
            name = V1 if version == "v1" else V2
            self._kept[version] = InProcess(name, str(self._checkpoints[version]), settings())
        return self._kept[version]

    def close(self) -> None:
        for transport in self._kept.values():
            transport.close()


@pytest.fixture(scope="session")
def transports(checkpoint_v1: Path, checkpoint_v2: Path) -> Iterator[Transports]:
    made = Transports({"v1": checkpoint_v1, "v2": checkpoint_v2})
    yield made
    made.close()


@pytest.fixture
def within(transports: Transports) -> InProcess:
    return transports.of("v1")


@pytest.fixture(scope="module", params=["v1", "v2"])
def engine(request: pytest.FixtureRequest, transports: Transports) -> LiveEngine:
    """An engine of each version; vLLM tells the figures of the one that was started last."""
    return LiveEngine(transports.of(request.param))
