"""compose.yaml says what the runbook promises. It is checked here, not run: CI has no engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_every_part_of_the_service_is_there() -> None:
    assert set(SERVICES) == {"valkey", "s3", "api", "worker-pages", "worker-prepare", "reconciler"}
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
