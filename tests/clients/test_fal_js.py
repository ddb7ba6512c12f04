"""fal's JavaScript client: each check is a test of the script."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.clients.conftest import data_url
from tests.clients.node import FOLDER, passed, run_node
from tests.running import RunningService


def test_fals_javascript_client_works(
    secure: RunningService, hello: bytes, three_pages: bytes
) -> None:
    env = {
        "SERVICE_URL": secure.url,
        "NODE_EXTRA_CA_CERTS": str(secure.ca_file),
        "IMAGE_URL": data_url(hello),
        "PDF_URL": data_url(three_pages, "application/pdf"),
    }
    passed(run_node("fal.test.mjs", env))


def test_the_snippet_of_the_api_reference_runs(
    secure: RunningService, hello: bytes, tmp_path: Path
) -> None:
    reference = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    section = reference.partition("\n## fal")[2]
    (snippet,) = re.findall(r"```js\n(.*?)```", section, re.DOTALL)[:1]
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")
    (tmp_path / "snippet.mjs").write_text(
        f'const blob = await (await fetch("{data_url(hello)}")).blob();\n'
        + snippet.replace("http://127.0.0.1:8080", secure.url)
        + "\nconsole.log(requestId, data.text);\n"
    )
    done = subprocess.run(
        ["node", "snippet.mjs"],
        cwd=tmp_path,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "NODE_EXTRA_CA_CERTS": str(secure.ca_file)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("req_")
    assert done.stdout.split()[1:] == ["Hello", "client"]
