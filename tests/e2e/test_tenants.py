"""Tenants never see each other, and a service with tokens answers nobody without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from casola_ocr.sample import sample_image
from tests.running import RunningService, free_port

pytestmark = pytest.mark.e2e


def test_a_foreign_id_is_answered_like_an_unknown_one_and_tokens_can_be_revoked(
    make_service: Callable[..., RunningService],
) -> None:
    service = make_service()
    ours, theirs = service.token("ours"), service.token("theirs")
    assert {"ours", "theirs"} <= set(service.command("tenants", "list").split())
    with service.client(ours) as us, service.client(theirs) as them, service.client() as nobody:
        answer = us.post(
            "/api/v1/jobs", files={"file": sample_image()}, headers={"Prefer": "wait=60"}
        )
        assert answer.status_code == 200, answer.text
        request_id = answer.json()["request_id"]
        unknown = them.get("/api/v1/jobs/req_01ARZ3NDEKTSV4RRFFQ69G5FAV")
        for path in ("", "/result", "/pages/1"):
            foreign = them.get(f"/api/v1/jobs/{request_id}{path}")
            assert (foreign.status_code, foreign.content) == (404, unknown.content)
        assert them.get("/api/v1/library").json()["data"] == []
        assert len(us.get("/api/v1/library").json()["data"]) == 1
        assert nobody.get("/api/v1/library").status_code == 401
        assert nobody.get("/readyz").status_code == 200
        key = {"Authorization": f"Key {ours}"}
        assert nobody.get("/api/v1/library", headers=key).status_code == 200
        assert nobody.post("/fal/ocr", json={}).status_code == 401
        assert nobody.post("/openai/v1/chat/completions", json={}).status_code == 401

        listed = service.command("tokens", "list")
        assert ours not in listed
        token_id = next(line for line in listed.splitlines() if "theirs" in line).split()[0]
        service.command("tokens", "revoke", token_id)
        service.wait_until_refused(theirs)
        assert them.get("/api/v1/library").status_code == 401
        assert us.get("/api/v1/library").status_code == 200


def test_another_address_than_loopback_needs_a_token(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "casola_ocr.cli", "serve", "--host", "0.0.0.0",  # noqa: S104 - refused
         "--port", str(free_port()), "--data-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "token" in done.stderr
