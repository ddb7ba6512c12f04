"""Names in a batch's zip, and what becomes of them on a disk."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from casola_ocr.documents.names import MAX_NAME_BYTES, MAX_NAME_LENGTH
from casola_ocr.exports.archive import Archive, EntryNames

LONG = "漢" * (MAX_NAME_LENGTH - 4) + ".png"


def test_names_that_are_too_long_for_a_file_system_are_cut_between_characters() -> None:
    names = EntryNames()
    first, second = names.name(LONG, ".alto.xml"), names.name(LONG, ".alto.xml")
    assert first == "漢" * 82 + ".alto.xml"
    assert second == "漢" * 81 + "-2.alto.xml"
    assert all(len(name.encode()) <= MAX_NAME_BYTES for name in (first, second))


def test_names_have_no_character_that_windows_forbids() -> None:
    assert EntryNames().name('a:b*?"<c>|.png', ".txt") == "a_b____c__.txt"


@pytest.mark.parametrize(
    ("original", "name"),
    [("CON.png", "_CON.txt"), ("nul.tar.gz", "_nul.tar.txt"), ("Com1", "_Com1.txt"),
     ("lpt³.pdf", "_lpt³.txt"), ("icon.png", "icon.txt"), ("com10.png", "com10.txt")],
)  # fmt: skip
def test_no_entry_has_the_name_of_a_device_of_windows(original: str, name: str) -> None:
    assert EntryNames().name(original, ".txt") == name


@pytest.mark.parametrize("packed", [True, False])
def test_every_entry_becomes_a_file_of_its_own_whatever_the_originals_were_called(
    tmp_path: Path, packed: bool
) -> None:
    originals = ["ümläut.png", "漢字.png", "a.png", "A.PNG", "a.jpg", "a-2.png", "../x.png",
                 "/etc/passwd", LONG, LONG, "...", "errors.png", "-rf.png", "😀.png"]  # fmt: skip
    archive, names = Archive(packed=packed), EntryNames()
    made = b""
    for original in originals:
        made += b"".join(archive.entry(names.name(original, ".txt"), [original.encode()]))
    made += b"".join(archive.end([{"file_name": "ä"}]))
    with zipfile.ZipFile(io.BytesIO(made)) as zipped:
        assert zipped.testzip() is None
        zipped.extractall(tmp_path)
    found = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.txt")}
    assert sorted(found.values()) == sorted(original.encode() for original in originals)
    assert all(len(name.parts) == 1 for name in found)
