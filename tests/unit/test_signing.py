"""Sealed notes."""

from __future__ import annotations

import base64
import json

import pytest

from casola_ocr.signing import MAX_LENGTH, Signer, is_over
from casola_ocr.testing import MemoryStore
from casola_ocr.times import now_ms

LATER = 4_102_444_800_000


def test_what_was_sealed_is_read_by_every_process() -> None:
    store = MemoryStore()
    note = Signer(store).seal("file", {"name": "été", "size": 7}, expires_at=LATER)
    values = Signer(store).unseal("file", note)
    assert values == {"name": "été", "size": 7, "kind": "file", "expires_at": LATER}


def test_a_note_of_another_kind_is_none() -> None:
    signer = Signer(MemoryStore())
    assert signer.unseal("send", signer.seal("file", {"kind": "send"}, expires_at=LATER)) is None


def test_a_note_of_another_server_is_none() -> None:
    note = Signer(MemoryStore()).seal("file", {}, expires_at=LATER)
    assert Signer(MemoryStore()).unseal("file", note) is None


def test_a_note_that_was_changed_anywhere_is_none() -> None:
    signer = Signer(MemoryStore())
    note = signer.seal("file", {"tenant": "acme"}, expires_at=LATER)
    for at, char in enumerate(note[:-1]):
        changed = note[:at] + ("A" if char != "A" else "B") + note[at + 1 :]
        assert signer.unseal("file", changed) is None
    key_id, body, signature = note.split(".")
    forged = json.dumps({"kind": "file", "tenant": "other", "expires_at": LATER}).encode()
    other = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
    assert signer.unseal("file", f"{key_id}.{other}.{signature}") is None
    assert signer.unseal("file", f"{key_id}.{body}.") is None


@pytest.mark.parametrize(
    "note", ["", ".", "..", "a.b.c", "../../x", "é" * 60, "a" * (MAX_LENGTH + 1), "\0.a.b"]
)
def test_whatever_is_no_note_is_none(note: str) -> None:
    assert Signer(MemoryStore()).unseal("file", note) is None


def test_two_processes_that_make_a_key_at_once_read_each_other() -> None:
    store = MemoryStore()
    first, second = Signer(store), Signer(store)
    listed = store.list
    store.list = lambda prefix: iter(())  # type: ignore[method-assign]
    notes = [signer.seal("file", {}, expires_at=LATER) for signer in (first, second)]
    store.list = listed  # type: ignore[method-assign]
    assert len(list(store.list("signing/"))) == 2
    for signer in (first, second, Signer(store)):
        assert all(signer.unseal("file", note) for note in notes)


def test_the_time_of_a_note_is_for_its_reader_to_judge() -> None:
    signer = Signer(MemoryStore())
    for expires_at, over in ((now_ms() - 1, True), (now_ms() + 60_000, False)):
        values = signer.unseal("file", signer.seal("file", {}, expires_at=expires_at))
        assert values is not None
        assert is_over(values) is over
