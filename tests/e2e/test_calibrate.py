"""casola-ocr calibrate through a running service, and the table that it makes in use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from casola_ocr.sample import sample_image
from tests.running import RunningService

pytestmark = pytest.mark.e2e

ENGINE = "pp-ocrv6"
#: Long enough that every half has words enough.
LEAST_CHARACTERS = 2500


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casola_ocr.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


@pytest.mark.corpus
def test_real_pages_are_read_by_the_service_and_a_table_comes_of_them(
    service: RunningService, corpus: Path, tmp_path: Path
) -> None:
    rows = []
    for row in map(json.loads, (corpus / "manifest.jsonl").read_text().splitlines()):
        if row["language"] != "en" or not row["text"] or row["pages"] != 1:
            continue
        if len((corpus / row["text"]).read_text()) < LEAST_CHARACTERS:
            continue
        row["file"], row["text"] = str(corpus / row["file"]), str(corpus / row["text"])
        # One kind, so that the halves are two and two.
        rows.append({**row, "kind": "any"})
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows[:4])))
    out = tmp_path / "own.json"
    done = command(
        "calibrate", str(tmp_path), "--engine", ENGINE, "--server", service.url, "--out", str(out)
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(out.read_text())[ENGINE]
    assert len(table) > 1
    assert "before" in done.stderr


def test_workers_take_the_operators_table_and_keep_the_engines_figure(
    make_service: Callable[..., RunningService], tmp_path: Path
) -> None:
    file = tmp_path / "own.json"
    file.write_text(json.dumps({ENGINE: [[0.0, 0.25], [1.0, 0.25]]}))
    running = make_service(CASOLA_CALIBRATION_FILE=str(file), CASOLA_ENGINES=ENGINE)
    with running.client() as client:
        answer = client.post(
            "/api/v1/jobs",
            files={"file": ("a.png", sample_image())},
            headers={"Prefer": "wait=60"},
        )
    words = [word for line in answer.json()["page_results"][0]["lines"] for word in line["words"]]
    assert words
    assert {word["confidence"] for word in words} == {0.25}
    assert all(word["confidence_raw"] > 0.25 for word in words)


@pytest.mark.parametrize("arguments", [("serve",), ("worker", "--role", "pages")])
def test_a_damaged_table_is_told_in_two_lines_and_nothing_starts(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    file = tmp_path / "own.json"
    file.write_text("{")
    done = command(
        *arguments, CASOLA_CALIBRATION_FILE=str(file), CASOLA_DATA_DIR=str(tmp_path / "data"),
        CASOLA_PORT="0",
    )  # fmt: skip
    assert done.returncode == 2
    problem, advice = done.stderr.strip().splitlines()
    assert problem.startswith("error: ")
    assert "own.json holds no calibration tables" in problem
    assert "casola-ocr settings" in advice
