"""The receivers in docs/webhooks.md take what the service sends, and nothing else."""

from __future__ import annotations

import re
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

from casola_ocr.testing import MemoryStore
from casola_ocr.webhooks.fal_key import FalKey
from casola_ocr.webhooks.messages import Message, fal_message, standard_message
from casola_ocr.webhooks.secrets import Secrets

DOCS = Path(__file__).parents[2] / "docs" / "webhooks.md"
EVENT = {"type": "job.completed", "data": {"links": {"result": "/api/v1/jobs/req_1/result"}}}


def snippet(folder: Path, name: str) -> dict[str, Any]:
    """The names of the snippet that defines this one."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if re.search(rf"^def {name}\(", block, re.MULTILINE))
    program = folder / "receiver.py"
    program.write_text(block, encoding="utf-8")
    return runpy.run_path(str(program))


def message(secrets: Secrets, now: float | None = None) -> Message:
    return standard_message("msg_1", EVENT, secrets.valid("acme"), now)


def test_the_receiver_with_the_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secrets = Secrets(MemoryStore())
    monkeypatch.setenv("WEBHOOK_SECRET", secrets.valid("acme")[0].secret)
    client = snippet(tmp_path, "ended")["app"].test_client()
    sent = message(secrets)
    for _ in range(2):
        answer = client.post("/hooks/ocr", data=sent.body, headers=sent.headers)
        assert answer.status_code == 204
    assert capsys.readouterr().out == "job.completed /api/v1/jobs/req_1/result\n"
    for body, headers in (
        (sent.body + b" ", sent.headers),
        (sent.body, message(secrets, time.time() - 3600).headers),
    ):
        assert client.post("/hooks/ocr", data=body, headers=headers).status_code == 401


def test_the_check_without_a_library_knows_both_secrets_of_a_rotation(tmp_path: Path) -> None:
    secrets, verify = Secrets(MemoryStore()), snippet(tmp_path, "verify")["verify"]
    old = secrets.valid("acme")[0].secret
    new = secrets.rotate("acme", keep_seconds=60)[0].secret
    sent = message(secrets)
    assert verify(old, sent.headers, sent.body) and verify(new, sent.headers, sent.body)
    assert not verify(new, sent.headers, sent.body + b" ")
    assert not verify(Secrets(MemoryStore()).valid("acme")[0].secret, sent.headers, sent.body)
    late = message(secrets, time.time() - 3600)
    assert not verify(new, late.headers, late.body)


def test_the_check_of_fal_takes_any_of_the_public_keys(tmp_path: Path) -> None:
    own, other = FalKey(MemoryStore()), FalKey(MemoryStore())
    verify = snippet(tmp_path, "verify_fal")["verify_fal"]
    sent = fal_message("req_1", "acme", {"status": "OK"}, own)
    keys = [*other.jwks()["keys"], *own.jwks()["keys"]]
    assert verify(keys, sent.headers, sent.body)
    assert not verify(keys, sent.headers, sent.body + b" ")
    assert not verify(other.jwks()["keys"], sent.headers, sent.body)
    late = fal_message("req_1", "acme", {"status": "OK"}, own, time.time() - 3600)
    assert not verify(keys, late.headers, late.body)
