"""What a run showed: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.faults import Happened


@dataclass
class Report:
    """Everything that a run found. `ok` when no promise was broken."""

    settings: dict[str, Any]
    ready_seconds: float = 0.0
    drain_seconds: float | None = None
    requests: dict[str, int] = field(default_factory=dict)
    outcome: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    recovery: dict[str, dict[str, Any]] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    processes: list[dict[str, Any]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)
    violations: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.violations

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.__dict__, indent=1, default=str) + "\n")

    def text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"settings   {self.settings}"
        drained = "NEVER" if self.drain_seconds is None else f"{self.drain_seconds:.1f} s"
        yield f"ready after {self.ready_seconds:.1f} s, all terminal {drained} after the last fault"
        yield from _table("clients", self.requests)
        yield from _table("outcome", self.outcome)
        yield from _table("process starts", self.starts)
        yield from _table("logged errors", self.logged)
        yield "\nrecovery, seconds        count   things    min median    max  freed  never"
        for kind, row in sorted(self.recovery.items()):
            figures = [row[name] for name in ("min", "median", "max", "freed")]
            shown = "".join(f"{'-' if f is None else f'{f:.1f}':>7}" for f in figures)
            counts = f"{row['count']:>6}{row['measured']:>9}"
            yield f"  {kind:<24}{counts}{shown}{row['never']:>7}"
        yield "\nmemory, MiB        processes  start   peak    end"
        for role, row in sorted(self.memory.items()):
            sizes = "".join(f"{row[name]:>7.0f}" for name in ("start", "peak", "end"))
            yield f"  {role:<20}{row['processes']:>6.0f}{sizes}"
        yield f"\nviolations: {sum(self.violations.values())}"
        for kind, number in sorted(self.violations.items()):
            yield f"  {number} x {kind}"
            for example in self.examples[kind]:
                yield f"      {example}"


def _table(title: str, rows: dict[str, int]) -> Iterator[str]:
    yield f"\n{title}"
    for name, number in sorted(rows.items()):
        yield f"  {name:<64}{number:>8}"


def recovery(happened: list[Happened]) -> dict[str, dict[str, Any]]:
    """Kind of fault → how often, and how long it took until work went on.

    What a process held when the records were wiped before its lease ended has lost its place and
    waits behind everything else: a row of its own.
    """
    wipes = [fault.at for fault in happened if fault.kind == "flush"]
    times: dict[str, list[float]] = defaultdict(list)
    for fault in happened:
        for seconds in fault.recovery:
            wiped = fault.freed and any(fault.at < at < fault.at + seconds for at in wipes)
            times[f"{fault.kind}, then wiped" if wiped else fault.kind].append(seconds)
    rows = {}
    for kind in {fault.kind for fault in happened} | set(times):
        faults = [fault for fault in happened if fault.kind == kind]
        freed = [seconds for fault in faults for seconds in fault.freed]
        rows[kind] = {
            "count": len(faults),
            "measured": len(times[kind]),
            "min": min(times[kind], default=None),
            "median": median(times[kind]) if times[kind] else None,
            "max": max(times[kind], default=None),
            "freed": max(freed, default=None),
            "never": sum(fault.never for fault in faults),
        }
    return rows


def logged(folder: Path) -> dict[str, int]:
    """Unexpected exceptions in the logs, by process role and last line of the traceback."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.log"):
        role = path.stem.split("-")[0]
        for line in path.read_text(errors="replace").splitlines():
            error = _error(line)
            if error:
                found[f"{role}: {error}"] += 1
    return dict(found.most_common(25))


def _error(line: str) -> str:
    if line.startswith("{"):
        try:
            entry = json.loads(line)
        except ValueError:
            return ""
        if entry.get("level") not in ("error", "critical"):
            return ""
        last = str(entry.get("exception", "")).strip().splitlines()
        return f"{entry.get('action', '')} {last[-1][:60] if last else ''}".strip()
    match = re.match(r"((?:[a-z_]+\.)*[A-Z]\w+(?:Error|Exception|Lost\w*|Exit\w*))\b", line)
    return match[1] if match else ""
