"""Programs in the pages of the documentation, to be run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.clients.conftest import WebServer
from tests.running import RunningService

REPOSITORY = Path(__file__).parents[2]
#: Language and text of each program of a page.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: One program on two busy cores; some of the clients take long to import.
SECONDS = 180


def placed(text: str, service: RunningService, web: WebServer) -> str:
    """A program with the addresses of this service, its certificate and these documents."""
    return (
        text.replace("https://example.com", web.put("", b"").rstrip("/"))
        .replace("127.0.0.1:8080", f"127.0.0.1:{service.port}")
        .replace("casola-data/tls/ca.pem", shlex.quote(str(service.ca_file)))
    )
