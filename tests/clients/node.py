"""Vendors' JavaScript clients, under plain ``node --test``; ``npm install`` puts them here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import missing

FOLDER = Path(__file__).parent
#: One script with all its tests, on two busy cores.
NODE_SECONDS = 240


def run_node(
    script_name: str, env: Mapping[str, str], *, seconds: float = NODE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder, whose ``test()`` calls are its tests; `env` is added to ours.

    Skips, in CI fails, where Node or the clients are missing.
    """
    node = shutil.which("node")
    if node is None:
        missing("node")
    if not (FOLDER / "node_modules").is_dir():
        missing("tests/clients/node_modules (run `npm install` there)")
    return subprocess.run(
        [node, "--test", "--test-reporter=spec", script_name],
        cwd=FOLDER,
        env={**os.environ, **env},
        text=True,
        capture_output=True,
        timeout=seconds,
        check=False,
    )


def passed(ran: subprocess.CompletedProcess[str]) -> None:
    """Assert that every test of a script ran and passed: one that was skipped did not."""
    told = f"{ran.stdout}\n{ran.stderr}"
    assert ran.returncode == 0, told
    counts = dict(
        line.removeprefix("ℹ ").split(" ", 1)
        for line in ran.stdout.splitlines()
        if line.startswith("ℹ ") and line.count(" ") == 2
    )
    assert int(counts["pass"]) == int(counts["tests"]) > 0, told
