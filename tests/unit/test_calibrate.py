"""casola-ocr calibrate, against a server whose engine is surer than it is right."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from casola_ocr import cli
from casola_ocr.pages import Line, PageResult, Word
from casola_ocr.text.calibration import chance, read_tables
from tests.exported import page
from tests.read_server import ReadServer, running

PNG = b"\x89PNG\r\n\x1a\n"
#: Of each document.
WORDS = 300
ENGINE = "deepseek-ocr"


def overconfident(text: str, engine: str = ENGINE) -> PageResult:
    """A page without boxes of words. Its engine says 0.9 of all, and every second word is wrong."""
    words, start = [], 0
    for index, read in enumerate(text.split()):
        shown = f"{read}?" if index % 2 else read
        # Calibrated before: not what is to be fitted to.
        words.append(Word(text=shown, confidence=0.1, start=start, confidence_raw=0.9))
        start += len(shown) + 1
    joined = " ".join(word.text for word in words)
    line = Line(text=joined, confidence=0.1, box=(0, 0, 9, 9), words=tuple(words))
    return page(line, engine=engine)


@pytest.fixture
def server() -> Iterator[ReadServer]:
    with running(ReadServer(reads=overconfident)) as made:
        yield made


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Four documents with known text."""
    folder, source = tmp_path / "corpus", random.Random(1)
    folder.mkdir()
    rows = []
    for number in range(4):
        text = " ".join(f"w{source.randrange(10**9)}" for _ in range(WORDS))
        (folder / f"{number}.png").write_bytes(PNG + text.encode())
        (folder / f"{number}.txt").write_text(text)
        rows.append({"file": f"{number}.png", "kind": "book", "language": "en",
                     "text": f"{number}.txt"})  # fmt: skip
    write_manifest(folder, rows)
    return folder


def write_manifest(folder: Path, rows: list[dict[str, object]]) -> None:
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))


def calibrate(server: ReadServer, corpus: Path, *arguments: str, engine: str = ENGINE) -> Result:
    given = ["calibrate", str(corpus), "--engine", engine, "--server", server.url, *arguments]
    return CliRunner().invoke(cli.app, given)


def test_the_table_says_how_often_the_engine_is_right(
    server: ReadServer, corpus: Path, tmp_path: Path
) -> None:
    done = calibrate(server, corpus, "--out", str(tmp_path / "own.json"))
    assert done.exit_code == 0, done.stderr
    table = read_tables(tmp_path / "own.json")[ENGINE]
    assert chance(table, 0.9) == pytest.approx(0.5, abs=0.01)
    told = " ".join(done.stderr.split())
    assert "fitted on 600 words; of 600 words of the other half" in told
    assert "0.400 before, 0.000 after" in told
    assert "CASOLA_CALIBRATION_FILE=" in told


def test_the_engine_alone_is_asked_and_its_results_are_not_kept_for_long(
    server: ReadServer, corpus: Path, tmp_path: Path
) -> None:
    calibrate(server, corpus, "--out", str(tmp_path / "own.json"))
    assert len(server.posts) == 4
    for post in server.posts:
        assert (post["model"], post["lane"], post["expires_in"]) == (ENGINE, "bulk", "86400")


def test_tables_of_other_engines_stay_and_the_engines_own_is_replaced(
    server: ReadServer, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.json"
    file.write_text(json.dumps({"tesseract": [[0.5, 0.25]], ENGINE: [[0.1, 0.1]]}))
    monkeypatch.setenv("CASOLA_CALIBRATION_FILE", str(file))
    assert calibrate(server, corpus).exit_code == 0
    assert read_tables(file) == {"tesseract": [(0.5, 0.25)], ENGINE: [(0.9, 0.5)]}


def test_words_that_another_engine_read_do_not_count(
    server: ReadServer, corpus: Path, tmp_path: Path
) -> None:
    server.reads = lambda text: overconfident(text, engine="text-layer")
    done = calibrate(server, corpus, "--out", str(tmp_path / "own.json"))
    assert done.exit_code == 1
    assert "only 0 and 0 words" in done.stderr
    assert not (tmp_path / "own.json").exists()


def test_documents_that_cannot_be_judged_are_not_sent(
    server: ReadServer, corpus: Path, tmp_path: Path
) -> None:
    rows = [json.loads(row) for row in (corpus / "manifest.jsonl").read_text().splitlines()]
    rows[0]["text"], rows[1]["language"], rows[2]["language"] = None, "ja", "ru"
    write_manifest(corpus, rows)
    calibrate(server, corpus, "--out", str(tmp_path / "own.json"), engine="pp-ocrv6")
    assert [post["name"] for post in server.posts] == ["3.png"]


def test_a_document_that_is_refused_is_named_and_the_others_count(
    server: ReadServer, corpus: Path, tmp_path: Path
) -> None:
    server.bad = {"2.png"}
    (corpus / "1.png").unlink()
    done = calibrate(server, corpus, "--out", str(tmp_path / "own.json"))
    assert done.exit_code == 1
    assert "error: 2.png: It looks like a web page." in done.stderr
    assert "error: 1.png: No such file" in done.stderr


@pytest.mark.parametrize(
    ("engine", "out", "problem"),
    [
        ("auto", "own.json", "'auto' is none of"),
        ("gpt-9", "own.json", "'gpt-9' is none of"),
        (ENGINE, "", "name a file with --out"),
        (ENGINE, "missing/own.json", "there is no folder"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_read(
    server: ReadServer, corpus: Path, tmp_path: Path, engine: str, out: str, problem: str
) -> None:
    more = ["--out", str(tmp_path / out)] if out else []
    done = calibrate(server, corpus, *more, engine=engine)
    assert done.exit_code == 2
    assert problem in " ".join(done.stderr.replace("│", "").split())
    assert server.posts == []


@pytest.mark.parametrize("manifest", [None, "not JSON", "[1]", '{"file": "a.png"}'])
def test_a_folder_that_is_no_corpus_is_told(
    server: ReadServer, tmp_path: Path, manifest: str | None
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    if manifest is not None:
        (folder / "manifest.jsonl").write_text(manifest)
    done = calibrate(server, folder, "--out", str(tmp_path / "own.json"))
    assert done.exit_code == 2
    assert "is no corpus" in " ".join(done.stderr.replace("│", "").split())
