"""Uploads, by fal's own JavaScript client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from casola_ocr.sample import sample_image, sample_text
from tests.clients.node import passed, run_node
from tests.running import RunningService


def test_blobs_are_uploaded_whole_and_in_parts_and_read(
    make_service: Callable[..., RunningService], tmp_path: Path
) -> None:
    service = make_service(CASOLA_MAX_FILE_MB="150")
    image = tmp_path / "sample.png"
    image.write_bytes(sample_image())
    env = {
        "CASOLA_TEST_URL": service.url,
        "CASOLA_TEST_IMAGE": str(image),
        "CASOLA_TEST_WORD": sample_text().split()[0],
    }
    passed(run_node("fal_files.test.mjs", env))
