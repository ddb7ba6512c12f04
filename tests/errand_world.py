"""Errands that tests make, work on and look at."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from casola_ocr.errands import Errand, Report
from casola_ocr.errands.running import Work
from casola_ocr.objects import keys
from tests.world import PNG, World

URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
CHAT = "/v1/chat/completions"

#: Work that runners began and may have died in the middle of: it holds files.
BEGUN: list[Generator[float]] = []


@contextmanager
def errand_pool() -> Iterator[ThreadPoolExecutor]:
    """The threads of a runner; lets go of what `steps` began."""
    with ThreadPoolExecutor(2) as made:
        yield made
    while BEGUN:
        BEGUN.pop().close()


def chat(name: str, url: str = URL, model: str = "pp-ocrv6") -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body}


def create(
    world: World,
    *lines: dict[str, Any],
    seconds: int = 3600,
    tenant: str = "acme",
    **more: Any,
) -> Errand:
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = world.service.files.create(
        tenant, io.BytesIO(content), file_name="in.jsonl", purpose="batch"
    )
    asked = {"endpoint": CHAT, "window": "1h", **more}
    errand, _ = world.service.errands.create(
        tenant, input_files=[file.file_id], seconds=seconds, **asked
    )
    return errand


def steps(world: World, errand: Errand, pool: ThreadPoolExecutor) -> Generator[float]:
    """What a runner that was just started does for an errand."""
    stored = world.service.errands.stored("acme", errand.errand_id)
    assert stored is not None
    BEGUN.append(Work(world.service, *stored, check_lease=lambda: None, pool=pool).run())
    return BEGUN[-1]


def finish(world: World, errand: Errand, pool: ThreadPoolExecutor) -> Report:
    """Work until the errand has ended."""
    for _ in steps(world, errand, pool):
        world.run()
    return world.service.errands.get("acme", errand.errand_id)[1]


def lines_of(world: World, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    content = b"".join(world.service.files.stream("acme", file_id))
    return [json.loads(line) for line in content.splitlines()]


def jobs(world: World) -> list[str]:
    return list(world.store.folders(keys.jobs_prefix("acme")))
