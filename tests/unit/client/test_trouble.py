"""Servers that are busy, broken, away or no server of ours; documents that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from casola_ocr.client import Busy, Client, NotCasola, NotReached, Unauthorized
from tests.api_stub import CONTENT
from tests.both_clients import Either
from tests.cutting import cutting
from tests.read_server import ReadServer, running
from tests.running import free_port
from tests.served import Served


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_and_the_job_is_made_once(
    kind: Any, scan: Path, status: int
) -> None:
    with running(ReadServer(refuse=[(status, "0"), (status, "0")])) as server:
        assert Either(kind, server.url).submit(scan).file_name == "scan.png"
    assert len(server.posts) == 1


def test_a_server_that_will_be_busy_for_longer_than_one_waits_is_told_at_once(
    kind: Any, scan: Path
) -> None:
    with running(ReadServer(refuse=[(429, "9999")])) as server, pytest.raises(Busy) as caught:
        Either(kind, server.url).submit(scan)
    assert (caught.value.code, caught.value.retry_after_seconds) == ("too_busy", 9999)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("cut", [0, 40])
def test_an_answer_that_is_lost_is_asked_for_again_with_the_same_key(
    kind: Any, scan: Path, cut: int
) -> None:
    with running() as server, cutting(server.url) as line:
        line.cuts = [cut, cut]
        assert Either(kind, line.url).submit(scan).request_id
    assert (line.connections, len(server.posts)) == (3, 3)
    assert len({post["key"] for post in server.posts}) == len(server.jobs) == 1


def test_a_wrong_address_is_told_at_once(kind: Any) -> None:
    with pytest.raises(NotReached, match="No server answers at") as caught:
        Either(kind, f"http://127.0.0.1:{free_port()}").submit(CONTENT)
    assert caught.value.code == "not_reached"
    with pytest.raises(ValueError, match="http"):
        Either(kind, "127.0.0.1:8080").submit(CONTENT)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_goes_away_for_good_is_told(scan: Path) -> None:
    with running() as server:
        client = Client(server.url, away_seconds=0.1)
        job = client.submit(scan)
    with client, pytest.raises(NotReached, match="does not answer any more"):
        client.job(job)


def test_what_is_no_server_of_ours_is_told(kind: Any, scan: Path) -> None:
    class Other(ReadServer):
        def submit(self) -> object:
            return "<html>", 200

    with running(Other()) as server, pytest.raises(NotCasola):
        Either(kind, server.url).submit(scan)


@pytest.mark.usefixtures("impatient")
def test_a_refused_document_does_not_stop_the_others_of_a_folder(kind: Any, tmp_path: Path) -> None:
    for name in ("a.png", "bad.png", "c.png", ".hidden.png", "sub/d.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(CONTENT + name.encode())
    (tmp_path / "notes.txt").write_text("no document")
    with running(ReadServer(bad={"bad.png"})) as server:
        readings = Either(kind, server.url).read_folder(tmp_path, in_flight=2)
    found = {
        Path(reading.source).name: reading.result.text if reading.result else reading.error.code
        for reading in readings
    }
    assert found == {
        "a.png": "a.png", "bad.png": "unsupported_format", "c.png": "c.png", "d.png": "sub/d.png",
    }  # fmt: skip
    assert {post["lane"] for post in server.posts} == {"bulk"}
    assert server.most_in_flight <= 2


def test_a_folder_that_is_missing_and_a_missing_file_are_told(
    kind: Any, served: Served, tmp_path: Path
) -> None:
    client = Either(kind, served.url)
    with pytest.raises(NotADirectoryError):
        client.read_folder(tmp_path / "none")
    (reading,) = client.read_all([tmp_path / "none.png"])
    assert isinstance(reading.error, FileNotFoundError)
    with pytest.raises(ValueError, match="in_flight"):
        client.read_all([CONTENT], in_flight=101)


def test_where_no_document_would_fare_better_the_rest_is_not_tried(
    kind: Any, served: Served
) -> None:
    served.world.tokens.secrets = {"hush": "acme"}
    with pytest.raises(Unauthorized):
        Either(kind, served.url, "wrong").read_all([CONTENT, CONTENT])
    assert len(served.asked) == 1
