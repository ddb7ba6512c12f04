"""Keeping child processes alive: start, watch, restart with backoff, stop all."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

#: Restart delays in seconds: at first nearly at once, then doubling.
FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
#: A child that lived this long starts with the first delay again.
STEADY_SECONDS = 60.0
#: A child that dies this often within STEADY_SECONDS is given up, and with it the service.
DEATHS_ALLOWED = 6
#: How long children may take to finish what they are doing when all is stopped.
GRACE_SECONDS = 15.0
#: A log larger than this is renamed to .1 when its process starts.
LOG_BYTES = 10_000_000

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """A process to keep alive. `stdin` is written to it once at each start."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stdin: bytes | None = None
    #: Stopped after all children of a lower rank are gone.
    stop_rank: int = 0
    #: File descriptors that it holds as long as it lives, even when the supervisor was killed.
    keep_open: tuple[int, ...] = ()


@dataclass
class _Child:
    spec: ChildSpec
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    delay: float = FIRST_DELAY
    deaths: deque[float] = field(default_factory=deque)


class GaveUp(Exception):
    """A child keeps dying; the message says which and how it ended."""


class Supervisor:
    """Runs children until `stop`. Single-threaded: its owner calls `tick` often."""

    def __init__(self, specs: Sequence[ChildSpec], log_folder: Path):
        self._children = [_Child(spec) for spec in specs]
        self._logs = log_folder
        log_folder.mkdir(parents=True, exist_ok=True)

    def tick(self) -> None:
        """Start what is due and note what died.

        Raises:
            GaveUp: a child died too often.
        """
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._died(child, child.process, now)
            if child.process is None and child.start_at <= now:
                self._start(child, now)

    def stop(self, impatient: Callable[[], bool] = lambda: False) -> None:
        """Stop all children, rank by rank; kill those that take longer than the grace time."""
        for rank in sorted({child.spec.stop_rank for child in self._children}):
            ranked = [child for child in self._children if child.spec.stop_rank == rank]
            running = [child.process for child in ranked if child.process is not None]
            for process in running:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + GRACE_SECONDS
            while any(process.poll() is None for process in running):
                if time.monotonic() > deadline or impatient():
                    break
                time.sleep(0.02)
            for process in running:
                _kill_group(process)
                process.wait()

    def running(self) -> dict[str, int]:
        """Name → PID of each child that runs."""
        return {
            child.spec.name: child.process.pid
            for child in self._children
            if child.process is not None and child.process.poll() is None
        }

    def _start(self, child: _Child, now: float) -> None:
        path = self._logs / f"{child.spec.name}.log"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            try:
                child.process = subprocess.Popen(
                    child.spec.command,
                    env=dict(child.spec.environment),
                    stdin=subprocess.DEVNULL if child.spec.stdin is None else subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=child.spec.keep_open,
                    # Ctrl-C in a terminal must reach only the supervisor, which stops in order.
                    start_new_session=True,
                    preexec_fn=partial(_die_with_parent, os.getpid()),
                )
            except OSError as error:
                raise GaveUp(f"{child.spec.name} cannot be started: {error.strerror}") from error
        if child.spec.stdin is not None and child.process.stdin is not None:
            # A child that died before it read this is seen, and started again, by the next tick.
            with suppress(BrokenPipeError):
                child.process.stdin.write(child.spec.stdin)
            with suppress(BrokenPipeError):
                child.process.stdin.close()
        child.started = now

    def _died(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        code = process.returncode
        _kill_group(process)
        child.process = None
        if now - child.started > STEADY_SECONDS:
            child.delay = FIRST_DELAY
        while child.deaths and now - child.deaths[0] > STEADY_SECONDS:
            child.deaths.popleft()
        child.deaths.append(now)
        if len(child.deaths) >= DEATHS_ALLOWED:
            raise GaveUp(
                f"{child.spec.name} keeps dying (last exit status {code}). Its log ends:\n"
                + self._tail(child.spec.name)
            )
        print(f"{child.spec.name} died (exit status {code}); starting it again", file=sys.stderr)  # noqa: T201 - the supervisor talks to a terminal
        child.start_at = now + child.delay
        child.delay = min(LONGEST_DELAY, child.delay * 2)

    def _tail(self, name: str) -> str:
        lines = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-12:])


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a child and of its own children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _die_with_parent(parent: int) -> None:
    """In the child, before exec: be sent SIGTERM when the supervisor is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # The signal is not sent for a parent that was gone before it was asked for.
        if os.getppid() != parent:
            os._exit(1)
