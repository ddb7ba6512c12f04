from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from casola_ocr.errors import ConfigurationError
from workers.engines import vllm_versions
from workers.engines.vllm_versions import Installed, check_version, logits_processor_path

ROOT = Path(__file__).parents[2]

NEW = Installed("0.32.0", cuda=True)
OLD = Installed("0.26.0", cuda=True)
CPU = Installed("0.32.0", cuda=False)


@pytest.mark.parametrize("version", ["0.26.0", "0.26.1+cu130", "0.32.0", "0.32.1.post1"])
def test_a_tested_version_is_taken(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["0.25.9", "0.33.0", "1.0", "0.33.0rc1", "0.32.1.dev5", "dev"])
def test_any_other_version_is_refused_with_what_to_install(version: str) -> None:
    with pytest.raises(ConfigurationError, match=r"vllm>=0\.26,<0\.33"):
        check_version(version)


def test_the_extra_asks_for_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, beyond = vllm_versions.TESTED
    assert project["optional-dependencies"]["vllm"] == [f"vllm>={first},<{beyond}"]


def test_no_vllm_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise vllm_versions.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(vllm_versions.metadata, "version", missing)
    with pytest.raises(ConfigurationError, match="not installed"):
        vllm_versions.installed()


@pytest.mark.parametrize(("found", "runner"), [(NEW, "1"), (OLD, "0"), (CPU, "0")])
def test_the_second_runner_is_chosen_on_a_gpu_where_the_ban_fits(
    found: Installed, runner: str
) -> None:
    assert vllm_versions.model_runner(found, {}) == runner


def test_the_operator_may_choose_the_runner() -> None:
    assert vllm_versions.model_runner(NEW, {"VLLM_USE_V2_MODEL_RUNNER": "0"}) == "0"
    assert vllm_versions.model_runner(CPU, {"VLLM_USE_V2_MODEL_RUNNER": "1"}) == "1"


@pytest.mark.parametrize(("found", "asked"), [(OLD, "1"), (NEW, "yes")])
def test_a_choice_that_cannot_be_is_refused(found: Installed, asked: str) -> None:
    with pytest.raises(ConfigurationError, match="VLLM_USE_V2_MODEL_RUNNER"):
        vllm_versions.model_runner(found, {"VLLM_USE_V2_MODEL_RUNNER": asked})


def test_each_runner_gets_its_own_processor() -> None:
    first = logits_processor_path({"VLLM_USE_V2_MODEL_RUNNER": "0"})
    second = logits_processor_path({"VLLM_USE_V2_MODEL_RUNNER": "1"})
    assert first == "workers.engines.ngram_v1:NGramBan"
    assert second == "workers.engines.ngram_v2:NGramBan"
