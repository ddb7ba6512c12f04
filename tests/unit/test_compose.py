"""compose.yaml says what the runbook promises. It is checked here, not run: CI has no engine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from casola_ocr.engines import GPU_ENGINES

FILE = Path(__file__).parents[2] / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_every_part_of_the_service_is_there() -> None:
    assert set(SERVICES) == {
        "valkey", "s3", "api", "search", "worker-pages", "worker-gpu", "worker-prepare",
        "reconciler",
    }  # fmt: skip
    assert set(COMPOSE) <= {"name", "services", "volumes", "networks", "secrets", "x-casola"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_healthy_unprivileged_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["user"].split(":")[0] not in ("0", "root")
    assert service["restart"] == "unless-stopped"
    assert {"image", "build"} & set(service)


def test_the_queue_is_kept_and_never_evicted() -> None:
    command = SERVICES["valkey"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert "--maxmemory" in command, "else nothing is refused before the machine is full"
    assert SERVICES["valkey"]["volumes"]


def test_no_secret_is_written_into_the_file() -> None:
    assert SERVICES["api"]["environment"]["AWS_SECRET_ACCESS_KEY"].startswith("${")
    assert "ports" not in SERVICES["valkey"]
    assert "ports" not in SERVICES["s3"]


def test_every_variable_of_ours_is_a_setting() -> None:
    from casola_ocr.settings import unknown_variables

    for service in SERVICES.values():
        assert unknown_variables(service.get("environment", {})) == []


def test_the_api_and_who_keeps_its_index_share_a_folder() -> None:
    folders = {SERVICES[name]["environment"]["CASOLA_SEARCH_DIR"] for name in ("api", "search")}
    volumes = {volume for name in ("api", "search") for volume in SERVICES[name]["volumes"]}
    assert volumes == {f"search:{folder}" for folder in folders}
    assert len(folders) == 1


def test_a_gpu_is_reserved_only_for_who_asks_for_the_profile() -> None:
    profiles = {
        name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service
    }
    assert profiles == {"worker-gpu": ["gpu"]}
    worker = SERVICES["worker-gpu"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 1, ["gpu"])
    assert worker["image"] != SERVICES["worker-pages"]["image"], "that one has no vLLM"


def test_the_gpu_worker_has_its_extra_its_engine_and_its_weights() -> None:
    worker = SERVICES["worker-gpu"]
    project = tomllib.loads((FILE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert (
        worker["build"]["args"]["EXTRA"].strip("[]") in project["project"]["optional-dependencies"]
    )
    dockerfile = (FILE.parent / "Dockerfile").read_text(encoding="utf-8")
    assert all(f"ARG {name}=" in dockerfile for name in worker["build"]["args"])
    engine = worker["environment"]["CASOLA_ENGINES"].partition(":-")[2].rstrip("}")
    assert engine in GPU_ENGINES
    assert f":{worker['environment']['HF_HOME']}:ro" in worker["volumes"][0]
    # The root is read-only: what vLLM compiles needs a volume.
    assert worker["read_only"] and "kernels:/var/lib/casola/.cache" in worker["volumes"]
    assert "kernels" in COMPOSE["volumes"]
