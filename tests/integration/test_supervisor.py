"""The supervisor with small real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from casola_ocr import supervisor as module
from casola_ocr.supervisor import ChildSpec, GaveUp, Supervisor


def child(name: str, code: str, rank: int = 0) -> ChildSpec:
    command = [sys.executable, "-c", code]
    return ChildSpec(name=name, command=command, environment=dict(os.environ), stop_rank=rank)


def tick_until(supervisor: Supervisor, met: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        supervisor.tick()
        time.sleep(0.02)


SLEEP = "import time; time.sleep(600)"


def test_a_killed_child_is_started_again_and_stopping_leaves_none(tmp_path: Path) -> None:
    supervisor = Supervisor([child("a", SLEEP), child("b", SLEEP, rank=1)], tmp_path)
    supervisor.tick()
    first = supervisor.running()
    os.kill(first["a"], signal.SIGKILL)
    tick_until(supervisor, lambda: supervisor.running().get("a", first["a"]) != first["a"])
    second = supervisor.running()
    assert second["b"] == first["b"]
    supervisor.stop()
    for pid in second.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_child_that_keeps_dying_is_given_up_by_name_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.05)
    dying = child("reader", "raise SystemExit('no model here')")
    supervisor = Supervisor([dying, child("other", SLEEP)], tmp_path)
    with pytest.raises(GaveUp, match="reader") as caught:
        tick_until(supervisor, lambda: False, seconds=60)
    assert "no model here" in str(caught.value)
    supervisor.stop()
    assert supervisor.running() == {}


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    code = "import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True);" + SLEEP
    supervisor = Supervisor([child("stubborn", code)], tmp_path)
    supervisor.tick()
    tick_until(supervisor, lambda: "on" in (tmp_path / "stubborn.log").read_text())
    supervisor.stop()
    assert supervisor.running() == {}
