"""What the benchmark programs share: a Valkey of their own, percentiles, and the report's file."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.servers import free_ports, stop, valkey_command, wait_for_valkey

# Wide enough for the tables where the output is a file.
console = Console(width=None if os.isatty(1) else 150)
#: For what is no result: progress and complaints.
errors = Console(stderr=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--report", type=Path, metavar="FILE", help="write the figures as JSON too")
    return made


def write_report(path: Path | None, figures: dict[str, Any]) -> None:
    if path is None:
        return
    machine = {"cores": os.cpu_count(), "load_average": os.getloadavg()}
    written = {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "machine": machine, **figures}
    path.write_text(json.dumps(written, indent=1) + "\n")


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@contextmanager
def own_valkey(*options: str) -> Iterator[str]:
    """The URL of an empty Valkey of our own, as durable as the embedded one."""
    with tempfile.TemporaryDirectory(prefix="bench-valkey-") as folder:
        (port,) = free_ports(1)
        command = valkey_command(
            Path(folder), port, "--appendfsync", "everysec", "--save", "", *options
        )
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            wait_for_valkey(url)
            yield url
        finally:
            stop(process)


def pair(values: Sequence[float], digits: int = 2) -> str:
    """The p50 and the p99 of some figures."""
    if not values:
        return "–"
    return f"{percentile(values, 0.5):.{digits}f}/{percentile(values, 0.99):.{digits}f}"


def figures_table(title: str, columns: Sequence[str]) -> Table:
    """A table whose first column is words and whose others are figures."""
    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, name in enumerate(columns):
        made.add_column(name, justify="right" if index else "left")
    return made
