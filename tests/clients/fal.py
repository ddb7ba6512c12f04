"""fal's Python client, pointed at a service of ours."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from tests.running import RunningService


@contextmanager
def imported(service: RunningService, key: str = "anything") -> Iterator[ModuleType]:
    """The client as it reads the environment that the API reference gives: when it is imported."""
    address = f"127.0.0.1:{service.port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAL_KEY", key)
        patch.setenv("FAL_RUN_HOST", address)
        patch.setenv("FAL_QUEUE_RUN_HOST", f"{address}/queue")
        patch.setenv("SSL_CERT_FILE", str(service.ca_file))
        for name in [name for name in sys.modules if name.partition(".")[0] == "fal_client"]:
            patch.delitem(sys.modules, name)
        yield importlib.import_module("fal_client")
