"""`casola-ocr read` against a scripted server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from casola_ocr import cli
from casola_ocr.client import patience
from tests.read_server import ReadServer, running

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def server() -> Iterator[ReadServer]:
    with running() as made:
        yield made


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "sub/c.png"):
        file = tmp_path / "scans" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(PNG + name.encode())
    return Path("scans")


def read(server: ReadServer, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["read", *arguments, "--server", server.url])


def test_without_a_folder_or_a_format_the_text_is_printed_in_the_order_of_the_files(
    server: ReadServer, scans: Path
) -> None:
    done = read(server, "scans/b.png", "scans/a.png")
    assert (done.exit_code, done.stdout) == (0, "b.png\na.png\n")
    assert done.stderr == "== scans/b.png\n== scans/a.png\n"
    assert json.loads(read(server, "scans/a.png", "--json").stdout)["text"] == "a.png"


def test_a_folder_is_written_into_another_with_its_folders(server: ReadServer, scans: Path) -> None:
    done = read(server, "scans", "--out", "to", "-f", "txt,md", "-f", "alto,hocr,json")
    assert done.exit_code == 0, done.stderr
    written = sorted(str(file.relative_to("to")) for file in Path("to").rglob("*.*"))
    assert len(written) == 15
    assert Path("to/sub/c.txt").read_text() == "sub/c.png"
    assert not [name for name in written if name.endswith(".part")]


def test_outputs_that_are_there_are_not_made_again_unless_it_is_forced(
    server: ReadServer, scans: Path
) -> None:
    assert "3 read, 0 there already" in read(server, "scans", "-f", "txt").stderr
    (scans / "a.txt").unlink()
    done = read(server, "scans", "-f", "txt")
    assert "1 read, 2 there already, 0 with errors" in done.stderr
    assert len(server.posts) == 4
    assert "3 read" in read(server, "scans", "-f", "txt", "--force").stderr
    assert len({post["key"] for post in server.posts}) == 6


def test_a_submission_of_a_run_that_was_stopped_is_found_again_by_its_key(
    server: ReadServer, scans: Path
) -> None:
    read(server, "scans", "-f", "txt", "--language", "de")
    read(server, "scans/a.png", "-f", "md", "--language", "de")
    read(server, "scans/a.png", "-f", "json", "--language", "en")
    keys = [post["key"] for post in server.posts if post["name"] == "a.png"]
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) <= 255 for key in keys)


def test_a_document_whose_job_was_deleted_is_submitted_anew(
    server: ReadServer, scans: Path
) -> None:
    read(server, "scans/a.png", "-f", "txt")
    server.gone = set(server.jobs)
    assert read(server, "scans/a.png", "-f", "md").exit_code == 0
    assert len(server.jobs) == 2


def test_pages_that_failed_are_told_and_read_again_by_the_next_run(
    server: ReadServer, scans: Path
) -> None:
    server.half = {"a.png"}
    done = read(server, "scans", "-f", "txt")
    assert done.exit_code == 1
    assert "error: scans/a.png: page 2: The page is damaged." in done.stderr
    assert (scans / "a.txt").read_text() == "a.png\f", "what was read is there"
    done = read(server, "scans", "-f", "txt")
    assert (done.exit_code, server.retries) == (0, 1)
    assert "1 read, 2 there already" in done.stderr
    assert (scans / "a.txt").read_text() == "a.png"


def test_a_document_that_is_refused_does_not_stop_the_others(
    server: ReadServer, scans: Path
) -> None:
    server.bad = {"a.png"}
    done = read(server, "scans", "none.png", "-f", "txt")
    assert done.exit_code == 1
    assert "error: scans/a.png: It looks like a web page." in done.stderr
    assert "error: none.png: No such file or directory" in done.stderr
    assert (scans / "b.txt").exists()


def test_options_are_passed_on_and_empty_ones_are_not(server: ReadServer, scans: Path) -> None:
    read(server, "scans/a.png", "--pages", "1-5,8", "--password", "secret",
         "--text-layer", "prefer", "--model", "tesseract")  # fmt: skip
    read(server, "scans", "-f", "txt")
    first, second = server.posts[:2]
    assert {name: first[name] for name in ("pages", "password", "text_layer", "model", "lane")} == {
        "pages": "1-5,8", "password": "secret", "text_layer": "prefer", "model": "tesseract",
        "lane": "interactive",
    }  # fmt: skip
    assert set(second) == {"name", "key", "model", "language", "lane"}
    assert second["lane"] == "bulk"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for(
    server: ReadServer, scans: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.01)
    server.refuse = [(status, "0"), (status, "0")]
    assert read(server, "scans/a.png").stdout == "a.png\n"


def test_a_server_that_stays_busy_is_given_up_with_its_reason(
    server: ReadServer, scans: Path
) -> None:
    server.refuse = [(429, "9999")]
    done = read(server, "scans/a.png")
    assert (done.exit_code, done.stderr) == (1, "error: scans/a.png: busy\n")


def test_an_answer_that_breaks_off_is_asked_for_again(
    server: ReadServer, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.01)
    server.cut = 2
    read(server, "scans/a.png", "-f", "txt")
    assert (scans / "a.txt").read_text() == "a.png"


def test_so_many_documents_are_in_flight_and_no_more(server: ReadServer, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(PNG + b"x")
    assert read(server, str(tmp_path), "-f", "txt", "--in-flight", "3").exit_code == 0
    assert 1 < server.most_in_flight <= 3


def test_an_unknown_format_is_told_with_all_that_there_are(server: ReadServer, scans: Path) -> None:
    done = read(server, "scans", "-f", "docx")
    assert done.exit_code == 2
    assert "alto" in done.stderr


def test_what_is_no_server_of_ours_is_told(scans: Path) -> None:
    class Other(ReadServer):
        def submit(self) -> object:
            return "<html>", 200

    with running(Other()) as server:
        done = read(server, "scans/a.png")
    assert done.exit_code == 1
    assert "is not Casola OCR" in done.stderr


def test_ctrl_c_leaves_at_once_with_nothing_half_written(server: ReadServer, scans: Path) -> None:
    server.ends = False
    command = [sys.executable, "-m", "casola_ocr.cli", "read", "scans", "-f", "txt"]
    process = subprocess.Popen(
        [*command, "--server", server.url], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert server.waited.wait(30)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert process.returncode == 130
    assert told.count("\n") == 1
    assert "takes it up again" in told
    assert not list(scans.rglob("*.txt*"))
