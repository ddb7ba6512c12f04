"""Tests for a machine with CUDA: `pytest tests/gpu`. Without a GPU they fail, they never skip."""

from __future__ import annotations

import os
import sys
import warnings
from types import ModuleType

import pytest
import torch
from packaging.version import Version

from workers.engines import vllm_versions
from workers.engines.vllm_engine import vllm_environment

FOUND = vllm_versions.installed()
os.environ.update(vllm_environment(FOUND))

with warnings.catch_warnings():
    # Others' warnings, when they are imported, are not ours to be stopped by.
    warnings.simplefilter("ignore")
    import vllm.v1.engine.async_llm  # noqa: F401

if Version(FOUND.version) < vllm_versions.PROCESSORS_V2:
    # What our ban for the second runner computes is all its own; from vLLM it takes three names,
    # which this version does not have yet. So a GPU of an older vLLM can try it too.
    interface = ModuleType("vllm.v1.worker.gpu.sample.logits_processor.interface")
    for name in "LogitsContext", "LogitsProcessor", "LogitsProcRequestState":
        setattr(interface, name, type(name, (), {}))
    sys.modules[interface.__name__] = interface


def pytest_configure(config: pytest.Config) -> None:
    # vLLM leaves its sockets to the garbage collector.
    config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")


@pytest.fixture(scope="session", autouse=True)
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.fail("these tests need a GPU with CUDA")
    return torch.device("cuda")
