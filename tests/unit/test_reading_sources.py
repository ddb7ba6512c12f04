from __future__ import annotations

import os
from pathlib import Path

import pytest

from casola_ocr.reading.sources import Source, collect, plan

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "sub/c.jpg", "notes.txt", ".hidden.png", ".git/d.png",
                 "a.ocr.pdf", "out/e.png"):  # fmt: skip
        file = tmp_path / "scans" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"text" if name.endswith("txt") else PNG)
    return Path("scans")


def names(*arguments: str, out: Path | None = None) -> list[str]:
    return [str(found.path) for found in collect(arguments, out)[0]]


def test_of_a_folder_what_can_be_read_is_taken_but_nothing_hidden_and_nothing_of_ours(
    folder: Path,
) -> None:
    assert names("scans", out=folder / "out") == ["scans/a.png", "scans/b.png", "scans/sub/c.jpg"]
    assert "scans/out/e.png" in names("scans")


def test_a_pattern_that_the_shell_left_is_followed(folder: Path) -> None:
    assert names("scans/*.*") == ["scans/a.png", "scans/b.png"]
    assert names("scans/**/*.jpg") == ["scans/sub/c.jpg"]


def test_a_file_is_taken_as_it_is_and_once(folder: Path) -> None:
    assert names("scans/notes.txt", "scans/a.png", "./scans/a.png", "none.png") == [
        "scans/notes.txt", "scans/a.png", "none.png",
    ]  # fmt: skip


def test_an_argument_that_names_nothing_is_told(folder: Path) -> None:
    (folder / "empty").mkdir()
    found, problems = collect(["scans/empty", "scans/*.gif"], None)
    assert (found, len(problems)) == ([], 2)


def outputs(*arguments: str, out: str = "", formats: tuple[str, ...] = ("txt",)) -> list[str]:
    place = Path(out) if out else None
    made = plan(collect(arguments, place)[0], formats, place)
    return [str(file) for source in made for _, file in source.outputs]


def test_outputs_lie_beside_their_sources_or_below_out_in_the_same_folders(folder: Path) -> None:
    assert outputs("scans/sub/c.jpg", formats=("txt", "pdf")) == [
        "scans/sub/c.txt", "scans/sub/c.ocr.pdf",
    ]  # fmt: skip
    assert outputs("scans", out="to")[2:] == ["to/out/e.txt", "to/sub/c.txt"]
    assert outputs("scans/*/c.jpg", out="to") == ["to/sub/c.txt"]
    assert outputs("scans/sub/c.jpg", out="to") == ["to/c.txt"]


def test_no_two_sources_have_the_same_output(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(PNG)
    assert outputs("scans/a.png", "scans/a.jpg") == ["scans/a.png.txt", "scans/a.jpg.txt"]
    (folder / "sub" / "a.png").write_bytes(PNG)
    assert outputs("scans/a.png", "scans/sub/a.png", out="to") == ["to/a.png.txt", "to/a.png-2.txt"]


def test_outputs_of_sources_with_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for last in "ab":
        (tmp_path / f"{'漢' * 83}{last}.png").write_bytes(PNG)
    found, _ = collect([str(tmp_path)], None)
    sources = plan(found, ("alto", "pdf"), None)
    written = [output for source in sources for _, output in source.outputs]
    for output in written:
        output.with_name(f".{output.name}.part").write_bytes(b"")
        output.write_bytes(b"")
    assert len(set(written)) == 4
    assert all(source.is_done() for source in sources)


def test_a_source_is_done_when_every_output_is_newer(folder: Path) -> None:
    first, second = folder / "a.txt", folder / "a.md"
    source = Source(path=folder / "a.png", outputs=(("txt", first), ("md", second)))
    first.write_text("x")
    assert not source.is_done()
    second.write_text("x")
    assert source.is_done()
    changed = first.stat().st_mtime_ns + 1_000_000
    os.utime(source.path, ns=(changed, changed))
    assert not source.is_done()
    os.utime(source.path, ns=(0, 0))
    source.leave_undone()
    assert not source.is_done()
    assert not Source(path=folder / "a.png").is_done()
