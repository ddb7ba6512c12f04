"""The part of the job records that the reconciler, fsck and operators use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import uuid4

from casola_ocr.model import SCHEMA_VERSION, Job
from casola_ocr.records.connection import translated
from casola_ocr.records.presence import LIVE_MS, Presence


@dataclass(frozen=True)
class Change:
    """A job that was submitted, ended or deleted, and the place among all changes."""

    position: str
    tenant: str
    request_id: str


class Upkeep(Presence):
    """Lists and the records as a whole; see `Records` for what holds for every method."""

    def is_in_library(self, job: Job) -> bool:
        with translated():
            return self._client.zscore(f"lib:{job.tenant}", _cursor(job)) is not None

    def list_in_library(self, job: Job) -> None:
        with translated():
            self._client.zadd(f"lib:{job.tenant}", {_cursor(job): 0})

    def unlist(self, tenant: str, cursor: str) -> None:
        with translated():
            self._client.zrem(f"lib:{tenant}", cursor)

    def recount(self, *, repair: bool) -> list[tuple[str, str, int, int]]:
        """Counters that differ from the jobs: hash, field, what it says, what it should say.

        Looks at every record at once, about a second for a hundred thousand.
        """
        flat = self._run("recount", int(repair), patient=True)
        return [
            (flat[i], flat[i + 1], int(flat[i + 2]), int(flat[i + 3]))
            for i in range(0, len(flat), 4)
        ]

    def overview(self) -> dict[str, Any]:
        """What waits, runs, lives and fails now, as ``lua/overview.lua`` tells it."""
        told: dict[str, Any] = json.loads(self._run("overview", LIVE_MS))
        # Lua has one kind of table: an empty one is written as an object.
        return {**told, "slots": told["slots"] or []}

    def usage(self) -> dict[str, Any]:
        """The server's version, its memory (`max_bytes` 0 = unlimited), and how it keeps data."""
        with translated():
            server: Any = self._client.info("server")
            memory: Any = self._client.info("memory")
            persistence: Any = self._client.info("persistence")
        return {
            "version": server.get("valkey_version") or server["redis_version"],
            "used_bytes": int(memory["used_memory"]),
            "max_bytes": int(memory.get("maxmemory") or 0),
            "append_only": bool(persistence.get("aof_enabled")),
            "uptime_seconds": int(server["uptime_in_seconds"]),
        }

    def dead(self, limit: int, after: str = "") -> list[tuple[str, int]]:
        """Jobs that need an operator and since when in ms, newest first.

        `after` is ``{ms}/{request ID}`` of the last one that was seen.
        """
        with translated():
            since, _, request_id = after.partition("/")
            rank = self._client.zrevrank("casola:dead", request_id) if after else -1
            if rank is None:
                # It was dropped meanwhile: rather tell some of its millisecond twice than none.
                rank = self._client.zcount("casola:dead", f"({since}", "+inf") - 1
            found = self._client.zrevrange("casola:dead", rank + 1, rank + limit, withscores=True)
        return [(name, int(at)) for name, at in found]

    def drop_dead(self, request_id: str) -> bool:
        """Take a job off the list that operators look at; False when it was not on it."""
        with translated():
            return bool(self._client.zrem("casola:dead", request_id))

    def drop(self, request_id: str) -> None:
        """Remove the record of an unfinished job of an older schema, to be registered again."""
        with translated():
            self._client.delete(f"job:{request_id}", f"job:{request_id}:pages", f"ev:{request_id}")

    def wipe(self) -> None:
        """Remove everything that an older schema kept; the store can make all of it again."""
        with translated():
            for pattern in ("job:*", "ev:*", "lib:*", "batch:*", "wait:*", "casola:*", "pages.*"):
                for chunk in _chunks(self._client.scan_iter(match=pattern, count=1000)):
                    self._client.unlink(*chunk)
            # Messages of that schema's tasks.
            self._client.unlink("prepare", "finish")

    def epoch(self) -> int | None:
        """Schema version of the records; None after they were wiped."""
        with translated():
            found = self._client.get("casola:epoch")
        if found is None:
            return None
        # Version 1 kept the time at which it began here.
        return int(found) if int(found) < 1_000_000 else 1

    def set_epoch(self) -> None:
        with translated():
            self._client.set("casola:epoch", SCHEMA_VERSION)

    def last_change(self) -> str:
        """The position after which `changes` tells what happens from now on."""
        with translated():
            found: Any = self._client.xrevrange("casola:changes", count=1)
        return str(found[0][0]) if found else "0-0"

    def changes(self, after: str, limit: int) -> list[Change] | None:
        """Changes of jobs after a position, oldest first; None where some are not kept any more."""
        with translated():
            oldest: Any = self._client.xrange("casola:changes", count=1)
            if oldest and _order(oldest[0][0]) > _order(after):
                about: Any = self._client.xinfo_stream("casola:changes")
                if about["entries-added"] > about["length"]:
                    return None
            found: Any = self._client.xrange("casola:changes", min=f"({after}", count=limit)
        return [Change(position, told["tenant"], told["id"]) for position, told in found]

    def name(self) -> str:
        """Names these records until they are lost, or the server was restarted.

        A machine that dies loses up to the last second or two of ``appendfsync everysec``.
        """
        name = uuid4().hex
        with translated():
            made: str | None = self._client.set("casola:name", name, nx=True, get=True)
            server: Any = self._client.info("server")
        return f"{made or name}-{server['run_id']}"

    def is_listed(self, name: str) -> bool:
        """Whether every ended job is in its library, since the records have this name."""
        with translated():
            return bool(self._client.get("casola:listed") == name)

    def set_listed(self, name: str) -> None:
        """All is listed that was in the store when the records had this name."""
        with translated():
            self._client.set("casola:listed", name)


def _cursor(job: Job) -> str:
    return f"{job.created_at:013}/{job.request_id}"


def _chunks(found: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(found, 1000)):
        yield chunk


def _order(position: str) -> tuple[int, int]:
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)
