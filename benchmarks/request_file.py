"""A batch of fifty thousand lines: how fast they go through, and what memory they take.

    python -m benchmarks.request_file [--lines 50000] [--children 1] [--seconds N] [--report FILE]

A running service (one API process, one reconciler, one worker child with the marker engine, whose
pages take no time). A file of requests is uploaded and made a batch, as OpenAI's client does; then
nothing is asked but how far it is. Printed are
  - the seconds of each state, and the lines a second from the first submission to the last answer,
  - the resident memory of each process: at the start, after a fifth of the run, at its peak, at
    its end,
  - the lines that were answered, each counted once; in brackets, where the time was over before
    the batch had ended, those that were read until then.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
from io import BytesIO
from typing import Any

import httpx
from PIL import Image

from benchmarks.common import console, figures_table, parser, write_report
from benchmarks.running import (
    MIB,
    Running,
    Sampler,
    memory_rows,
    memory_table,
    running_service,
)
from tests.chaos import marker

TENANT = "batch"
ENDPOINT = "/v1/chat/completions"
LOOK_SECONDS = 0.5
ENDS = ("completed", "failed", "expired", "cancelled")


def write_lines(file: Any, lines: int) -> int:
    """Write the requests; returns their bytes."""
    picture = BytesIO()
    # Black and white, so that fifty thousand of them fit in a file of 200 MB.
    page = marker.draw(marker.Marker(1, 1, 0, False)).convert("1", dither=Image.Dither.NONE)
    page.save(picture, "PNG", optimize=True)
    url = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "pp-ocrv6", "messages": [{"role": "user", "content": content}]}
    for number in range(lines):
        values = {"custom_id": f"line-{number}", "method": "POST", "url": ENDPOINT, "body": body}
        file.write(json.dumps(values).encode() + b"\n")
    size: int = file.tell()
    file.seek(0)
    return size


def begin(client: httpx.Client, lines: int) -> tuple[str, int]:
    """Upload the file and make it a batch; its ID, and the bytes of the file."""
    with tempfile.TemporaryFile() as file:
        size = write_lines(file, lines)
        uploaded = client.post(
            "/v1/files", files={"file": ("requests.jsonl", file)}, data={"purpose": "batch"}
        )
    uploaded.raise_for_status()
    asked = {
        "input_file_id": uploaded.json()["id"],
        "endpoint": ENDPOINT,
        "completion_window": "24h",
    }
    made = client.post("/v1/batches", json=asked)
    made.raise_for_status()
    return made.json()["id"], size


def follow(
    client: httpx.Client, batch_id: str, begun: float, most: float
) -> tuple[dict, dict[str, float]]:
    """The batch once it has ended, and the second since `begun` at which each state was seen.

    After `most` seconds, the batch as it stands.
    """
    seen: dict[str, float] = {}
    while True:
        batch = client.get(f"/v1/batches/{batch_id}").raise_for_status().json()
        seen.setdefault(batch["status"], time.monotonic() - begun)
        if batch["status"] in ENDS or time.monotonic() - begun > most:
            seen["end"] = time.monotonic() - begun
            return batch, seen
        time.sleep(LOOK_SECONDS)


def check(client: httpx.Client, batch: dict, lines: int) -> int:
    """The distinct lines that were answered well; read as a stream."""
    found = set()
    with client.stream("GET", f"/v1/files/{batch['output_file_id']}/content") as answer:
        for line in answer.iter_lines():
            values = json.loads(line)
            if values["response"]["status_code"] == 200:
                found.add(values["custom_id"])
    return len(found)


def measure(running: Running, lines: int, most: float) -> dict[str, Any]:
    with running.client(TENANT) as client:
        sampler, begun = Sampler(running), time.monotonic()
        try:
            batch_id, size = begin(client, lines)
            batch, seen = follow(client, batch_id, begun, most)
        finally:
            sampler.close()
        answered = check(client, batch, lines) if batch["output_file_id"] else 0
    counts = batch["request_counts"]
    working = seen.get("finalizing", seen["end"]) - seen["in_progress"]
    return {
        "lines": lines,
        "file_mb": size / 1e6,
        "status": batch["status"],
        "counts": counts,
        "answered": answered,
        "seconds": {name: round(at, 1) for name, at in seen.items()},
        "lines_a_second": (counts["completed"] + counts["failed"]) / working,
        "memory": memory_rows(sampler.samples),
        "valkey_mib": max(sample.used_memory for sample in sampler.samples) / MIB,
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--lines", type=int, default=50_000)
    arguments.add_argument("--children", type=int, default=1, help="of the worker")
    arguments.add_argument("--seconds", type=float, default=7200, help="after which it is given up")
    chosen = arguments.parse_args()
    settings = {"CASOLA_LOG_LEVEL": "warning"}
    with running_service([TENANT], chosen.children, settings) as running:
        found = measure(running, chosen.lines, chosen.seconds)
    told = figures_table(
        "a file of requests",
        ("lines", "MB", "answered", "lines/s", "validated s", "worked off s", "joined s"),
    )
    seconds = found["seconds"]
    finalizing = seconds.get("finalizing", seconds["end"])
    told.add_row(
        str(found["lines"]),
        f"{found['file_mb']:.0f}",
        str(found["answered"] or f"({found['counts']['completed']})"),
        f"{found['lines_a_second']:.0f}",
        f"{seconds['in_progress'] - seconds.get('validating', 0):.1f}",
        f"{finalizing - seconds['in_progress']:.1f}",
        f"{seconds['end'] - finalizing:.1f}",
    )
    console.print(told, memory_table(found["memory"]))
    write_report(chosen.report, found)


if __name__ == "__main__":
    main()
