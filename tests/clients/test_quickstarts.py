"""Every block of docs/clients.md runs as it stands, and prints the text of its document.

Replaced are only the addresses of the service, of its certificate, and of the documents.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import WebServer
from tests.clients.pages import BLOCK, REPOSITORY, SECONDS, placed
from tests.conftest import missing
from tests.running import RunningService

PAGE = REPOSITORY / "docs" / "clients.md"
#: `npm install` puts the JavaScript clients here.
MODULES = Path(__file__).parent / "node_modules"
#: What a document says, by the name that a block gives it.
WORDS = {"scan.png": ("Hello", "client"), "scan.pdf": ("Alpha", "Bravo", "Charlie")}


@dataclass(frozen=True)
class QuickStart:
    """A program of the page, and the variables that were exported before it in its section."""

    name: str
    language: str
    text: str
    exports: str = ""


def quick_starts() -> Iterator[QuickStart]:
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        exports = ""
        for number, (language, text) in enumerate(BLOCK.findall(body), 1):
            if language == "sh" and all(line.startswith("export ") for line in text.splitlines()):
                exports = text
            else:
                yield QuickStart(f"{title} {number}", language, text, exports)


ALL = list(quick_starts())


def command(quick_start: QuickStart, folder: Path) -> list[str]:
    if quick_start.language == "python":
        (folder / "quickstart.py").write_text(quick_start.text)
        return [sys.executable, "quickstart.py"]
    if quick_start.language == "js":
        node = shutil.which("node")
        if node is None or not MODULES.is_dir():
            missing("node with the packages of tests/clients/package.json")
        (folder / "node_modules").symlink_to(MODULES.resolve())
        (folder / "quickstart.mjs").write_text(quick_start.text)
        return [node, "quickstart.mjs"]
    assert quick_start.language == "sh"
    return ["bash", "-e", "-c", quick_start.text]


@pytest.mark.parametrize("quick_start", ALL, ids=lambda found: found.name)
def test_a_quick_start_prints_the_text_of_its_document(
    request: pytest.FixtureRequest,
    quick_start: QuickStart,
    web: WebServer,
    hello: bytes,
    three_pages: bytes,
    tmp_path: Path,
) -> None:
    tls = "SSL_CERT_FILE" in quick_start.exports
    service: RunningService = request.getfixturevalue("secure" if tls else "service")
    for name, content in (("scan.png", hello), ("scan.pdf", three_pages)):
        (tmp_path / name).write_bytes(content)
        web.put(name, content)
    here = QuickStart(
        quick_start.name,
        quick_start.language,
        placed(quick_start.text, service, web),
        placed(quick_start.exports, service, web),
    )
    ran = subprocess.run(
        ["bash", "-e", "-c", here.exports + 'exec "$@"', "bash", *command(here, tmp_path)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr + service.log()
    (words,) = [WORDS[name] for name in WORDS if name in quick_start.text]
    assert [word for word in words if word not in ran.stdout] == [], ran.stdout


def test_every_client_has_its_quick_start() -> None:
    told = "".join(quick_start.text for quick_start in ALL)
    for used in (
        "from openai import OpenAI", "import OpenAI from 'openai'", "import fal_client",
        "from '@fal-ai/client'", "from mistralai.client import Mistral",
        "from '@mistralai/mistralai'", "from langchain_openai", "from litellm", "curl ",
    ):  # fmt: skip
        assert used in told
