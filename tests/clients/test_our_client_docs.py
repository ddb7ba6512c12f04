"""The snippets of docs/python-client.md, run as the one program that they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.clients.conftest import small_page
from tests.running import RunningService

ROOT = Path(__file__).parents[2]


def test_the_snippets_of_the_client_run_as_they_stand(
    service: RunningService, tmp_path: Path, three_pages: bytes
) -> None:
    text = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 6
    program = tmp_path / "snippets.py"
    program.write_text("".join(blocks).replace("http://127.0.0.1:8080", service.url))
    (tmp_path / "scan.pdf").write_bytes(three_pages)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.png").write_bytes(small_page("Delta page"))
    (tmp_path / "scans" / "bad.pdf").write_bytes(three_pages[:200])
    done = subprocess.run(
        [sys.executable, "-W", "error", program], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for said in (
        "Charlie page",
        "scans/bad.pdf was not read:",
        "unsupported_format",
        "no_such_pages",
    ):
        assert said in done.stdout
    assert (tmp_path / "read" / "scan.ocr.pdf").read_bytes()[:5] == b"%PDF-"
