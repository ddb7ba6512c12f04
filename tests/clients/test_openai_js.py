"""OpenAI's JavaScript client: each check is a test of the script."""

from __future__ import annotations

from tests.clients.conftest import data_url
from tests.clients.node import passed, run_node
from tests.running import RunningService


def test_openais_javascript_client_works(
    service: RunningService, hello: bytes, three_pages: bytes
) -> None:
    env = {
        "SERVICE_URL": service.url,
        "IMAGE_URL": data_url(hello),
        "PDF_URL": data_url(three_pages, "application/pdf"),
    }
    passed(run_node("openai.test.mjs", env))
