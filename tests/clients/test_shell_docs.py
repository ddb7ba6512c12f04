"""Every shell block of the README and of the API reference runs as it stands.

A block that cannot, because it starts a service or installs something, stands below a comment
``<!-- not run: why -->``. Replaced are only the addresses of the service and of the documents.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import WebServer, small_page
from tests.clients.pages import REPOSITORY, SECONDS, placed
from tests.pdfs import make_pdf, text_page
from tests.running import RunningService

_BLOCK = re.compile(r"(<!-- not run: .+ -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Most blocks that may be marked as not to be run.
MAX_NOT_RUN = 3
#: What a block does: some of its text → what is in its output, or in a name of its folder, then.
DOES = {
    "jobs\n.venv/bin/casola-ocr read scan.jpg": ("Hello client", "Hello client\n"),
    "casola-ocr read scans": ("read/one.txt", "read/one.pdf", "read/deeper/two.pdf"),
    "/fal/ocr": ("Hello client", '"completed"'),
    "casola-ocr tokens": ("casola_",),
    "pages=1-5,8": ("Page one", "Page five", "Page eight", '"completed"'),
    "/api/v1/uploads": ("upload_", "req_"),
    "/api/v1/library": ('"snippets"', "The total amount for M\u00fcller"),
    "/export?": ("scan.ocr.pdf",),
    "export FAL_KEY": (),
}


@dataclass(frozen=True)
class Block:
    """A shell block; `name` is its page and its place there."""

    name: str
    text: str
    not_run: bool


def blocks() -> list[Block]:
    return [
        Block(f"{page} {number}", text, bool(marker))
        for page in ("README.md", "docs/api.md")
        for number, (marker, text) in enumerate(
            _BLOCK.findall((REPOSITORY / page).read_text(encoding="utf-8")), 1
        )
    ]


RUN = [block for block in blocks() if not block.not_run]


@pytest.fixture
def folder(tmp_path: Path, web: WebServer, hello: bytes) -> Path:
    """Where a reader of the pages stands: the documents that the blocks name, and the programs."""
    numbers = ("one", "two", "three", "four", "five", "six", "seven", "eight")
    pages = [text_page([f"Page {one}"], size=(300, 100), points=24) for one in numbers]
    for name, content in {
        "scan.jpg": hello,
        "scan.pdf": make_pdf(pages),
        "book.pdf": make_pdf(pages[:2]),
        "scans/one.png": hello,
        "scans/deeper/two.png": hello,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    web.put("document.png", hello)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    # As a reader sees it: an error of the service is one of the command.
    (tmp_path / ".curlrc").write_text("fail-with-body\n")
    return tmp_path


@pytest.fixture(scope="module")
def read_before(service: RunningService) -> str:
    """The ID of a job that was read, and that the search finds."""
    page = small_page("The total amount for", "M\u00fcller is 7")
    files = {"file": ("scan.png", page)}
    with service.client() as client:
        told = client.post("/api/v1/jobs", files=files, headers={"Prefer": "wait=60"}).json()
        assert told["status"] == "completed", told
    return str(told["request_id"])


@pytest.mark.parametrize("block", RUN, ids=lambda block: block.name)
def test_a_shell_block_does_what_the_page_says(
    block: Block, folder: Path, web: WebServer, service: RunningService, read_before: str
) -> None:
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", placed(block.text, service, web)],
        cwd=folder,
        env={
            "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(folder),
            "CASOLA_PORT": str(service.port),
            # Its own: a token in the service's would shut the other tests out.
            "CASOLA_DATA_DIR": str(folder / "casola-data"),
            "id": read_before,
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr + service.log()
    made = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    seen = "\n".join([ran.stdout, *made])
    (wanted,) = [DOES[text] for text in DOES if text in block.text]
    assert [what for what in wanted if what not in seen] == [], seen + ran.stderr


def test_few_blocks_are_left_out() -> None:
    assert len([block for block in blocks() if block.not_run]) <= MAX_NOT_RUN
