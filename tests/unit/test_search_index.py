"""How much a search reads, and how long it may take."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casola_ocr.errors import SearchTimeout
from casola_ocr.library import Wanted
from casola_ocr.model import Job, JobStatus, PageCounts
from casola_ocr.search import index as index_module
from casola_ocr.search import indexes as indexes_module
from casola_ocr.search.index import Document, Index
from casola_ocr.search.indexes import Indexes, State


def job(number: int, pages: int = 1, name: str = "scan.pdf") -> Job:
    return Job(
        request_id=f"{number:032x}",
        tenant="acme",
        status=JobStatus.COMPLETED,
        model="auto",
        engine="pp-ocrv6",
        language="",
        file_name=name,
        media_type="application/pdf",
        lane="normal",
        batch_id="",
        pages=PageCounts(total=pages, done=pages, failed=0),
        words=2,
        confidence=0.9,
        created_at=1_800_000_000_000 + number,
        started_at=None,
        finished_at=None,
        error=None,
    )


@pytest.fixture
def indexes(tmp_path: Path) -> Indexes:
    made = Indexes(tmp_path)
    made.save(State())
    return made


@pytest.fixture
def index(indexes: Indexes) -> Iterator[Index]:
    with indexes.writing("acme") as made:
        yield made


_decompressobj = zlib.decompressobj


class Unpacker:
    """zlib's, and the most bytes that it ever gave at once."""

    most = 0

    def __init__(self) -> None:
        self._real = _decompressobj()

    @property
    def unconsumed_tail(self) -> bytes:
        return self._real.unconsumed_tail

    def decompress(self, data: bytes, most: int) -> bytes:
        part = self._real.decompress(data, most)
        Unpacker.most = max(Unpacker.most, len(part))
        return part


@pytest.mark.parametrize("sign", ["a", "é", "票", "𝄞"])
def test_a_text_is_unpacked_only_as_far_as_it_is_wanted(
    index: Index, sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.replace([Document(job=job(1), text="x" + sign * 5000)])
    monkeypatch.setattr(Unpacker, "most", 0)
    monkeypatch.setattr(index_module.zlib, "decompressobj", Unpacker)
    monkeypatch.setattr(index_module.zlib, "decompress", None)
    assert index.text(job(1).request_id, 1001) == "x" + sign * 1000
    assert Unpacker.most <= 1001
    assert index.text(job(1).request_id, 9000) == "x" + sign * 5000
    assert index.text(job(2).request_id, 9000) == ""


def test_pages_of_long_documents_keep_their_numbers(
    indexes: Indexes, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes_module, "LOOKED_AT", 100)
    monkeypatch.setattr(index_module, "_PART_BYTES", 64)
    text = "first\fthe needle\f" + "other words " * 50 + "\flast needle"
    # Of the second one a page was never read.
    index.replace([Document(job=job(number), text=text) for number in (1, 2)])
    found = indexes.snippets("acme", "needle", [job(1, pages=4), job(2, pages=5)])
    assert [(made.page, made.text) for made in found.values()] == [
        (2, "the needle"),
        (None, "the needle"),
    ]
    assert indexes.snippets("acme", "last", [job(1, pages=4)]) == {}


def test_texts_are_read_one_by_one_and_only_names_when_the_time_is_over(
    indexes: Indexes, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(number, name="needle.pdf") for number in (1, 2)]
    index.replace([Document(job=job, text="a needle") for job in jobs])
    done: list[Any] = []
    read, shown = Index.text, indexes_module.snippet

    def text(self: Index, request_id: str, characters: int) -> str:
        done.append("read")
        return read(self, request_id, characters)

    def snippet(*asked: Any) -> Any:
        done.append("shown")
        return shown(*asked)

    monkeypatch.setattr(Index, "text", text)
    monkeypatch.setattr(indexes_module, "snippet", snippet)
    found = indexes.snippets("acme", "needle", jobs)
    assert [made.source for made in found.values()] == ["text", "text"]
    assert done == ["read", "shown", "read", "shown"]
    monkeypatch.setattr(indexes_module, "MAX_SECONDS", -1.0)
    found = indexes.snippets("acme", "needle", jobs)
    assert [made.source for made in found.values()] == ["file_name", "file_name"]


@pytest.mark.parametrize(
    ("asked", "found_in", "wanted", "takes"),
    [
        ("auto", ("ru", "en"), "ru", True),
        ("auto", ("ru", "en"), "en", True),
        ("auto", ("ru", "en"), "auto", False),
        ("fr,de", ("ru",), "fr", False),
        ("fr,de", (), "fr", True),
        ("fr,de", (), "de", True),
        ("auto", (), "auto", True),
        ("auto", (), "ru", False),
        ("auto", ("en", "zh-hans"), "zh", True),
        ("auto", ("zh-hans", "en"), "zh-hans", True),
        ("auto", ("zh-hans",), "zh-hant", False),
        ("auto", ("zh",), "zh-hans", False),
        ("auto", ("ru", "en"), "r", False),
        ("auto", ("ru", "en"), "u", False),
        ("auto", ("ru", "en"), "ru,en", False),
        ("auto", ("zh-hans",), "hans", False),
    ],
)
def test_the_index_takes_a_job_by_its_languages_as_the_library_does(
    index: Index, asked: str, found_in: tuple[str, ...], wanted: str, takes: bool
) -> None:
    made = replace(job(1), language=asked, languages_found=found_in)
    index.replace([Document(job=made, text="word")])
    filters = Wanted(language=wanted)
    assert filters.takes(made) is takes
    assert bool(index.find('"word"', filters, 9, None)) is takes


def test_a_search_that_takes_too_long_is_given_up(
    indexes: Indexes, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.replace([Document(job=job(number), text="word") for number in range(1000)])
    wanted = Wanted(text="word", file_name="not there")
    assert indexes.cursors("acme", wanted, 9, None) == []
    monkeypatch.setattr(indexes_module, "MAX_SECONDS", -1.0)
    with pytest.raises(SearchTimeout) as raised:
        indexes.cursors("acme", wanted, 9, None)
    assert raised.value.code == "search_timeout"
