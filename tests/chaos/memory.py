"""Resident memory of every process of the service while it runs."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import psutil

from tests.chaos.cluster import Cluster

EVERY_SECONDS = 2.0
_MIB = 1024 * 1024


@dataclass
class Usage:
    """One process from its first sample to its last, in MiB."""

    role: str
    pid: int
    start: float
    peak: float
    end: float
    first_at: float
    last_at: float


class Sampler:
    """Samples until `close`. A restarted process counts as another one."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._usages: dict[tuple[int, float], Usage] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def close(self) -> list[Usage]:
        self._closed.set()
        self._thread.join()
        return list(self._usages.values())

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._closed.wait(EVERY_SECONDS):
            for name in self._cluster.names():
                role = name.split("-")[0]
                leader = self._cluster.leader(name)
                for process in self._cluster.family(name):
                    part = role if process == leader else f"{role} child"
                    self._sample(part, process, time.monotonic() - begun)

    def _sample(self, role: str, process: psutil.Process, now: float) -> None:
        try:
            size = process.memory_info().rss / _MIB
            key = (process.pid, process.create_time())
        except psutil.Error:
            return
        if not size:
            return
        usage = self._usages.get(key)
        if usage is None:
            self._usages[key] = usage = Usage(role, process.pid, size, size, size, now, now)
        usage.peak, usage.end, usage.last_at = max(usage.peak, size), size, now


def by_role(usages: list[Usage]) -> dict[str, dict[str, float]]:
    """Role → number of processes, and the largest start, peak and end of any, in MiB."""
    found: dict[str, dict[str, float]] = {}
    for usage in usages:
        row = found.setdefault(usage.role, {"processes": 0, "start": 0, "peak": 0, "end": 0})
        row["processes"] += 1
        for name in ("start", "peak", "end"):
            row[name] = round(max(row[name], getattr(usage, name)), 1)
    return found
