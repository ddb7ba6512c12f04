"""The connections to Redis or Valkey, the scripts, and their errors. The only redis-py importer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from casola_ocr.errors import RecordsUnavailable

#: Longest single XREAD: a dead connection is noticed within this time.
BLOCK_MS = 5_000
#: How long a script may take that looks at all records.
PATIENCE_SECONDS = 120
#: How long an answer about the server's memory is good: at most this much is admitted too late.
MEMORY_SECONDS = 1.0

_SCRIPTS = (
    "admit", "submit", "take", "enter", "heartbeat", "settle", "release", "opened", "reject",
    "close", "cancel", "erase", "erased", "forget", "sweep", "bury", "recount", "pulse", "live",
)  # fmt: skip
#: Scripts but these go on when the server is full: work that is finished, cancelled or deleted
#: makes room. Those that only read go on in a read-only one, too.
#: https://valkey.io/topics/eval-intro/#script-flags
_FLAGS = {"submit": "", "admit": "#!lua flags=no-writes\n", "live": "#!lua flags=no-writes\n"}


class Connection:
    """Two clients, because a blocking read needs its own: safe to share between threads."""

    def __init__(self, url: str):
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_connect_timeout": 2,
            # Every script is idempotent, so a connection that broke in the middle is retried.
            "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
        }
        # Any: redis-py's types do not know that `decode_responses` leaves only str.
        self.client: Any = redis.Redis.from_url(url, socket_timeout=5, **options)
        # Its socket timeout must exceed the block time.
        options["retry"] = Retry(ExponentialBackoff(cap=0.2, base=0.02), 0)
        self._waiting = redis.Redis.from_url(url, socket_timeout=BLOCK_MS / 1000 + 5, **options)
        # For what looks at all records: repeating it would make it worse.
        self._patient = redis.Redis.from_url(url, socket_timeout=PATIENCE_SECONDS, **options)
        lua = resources.files("casola_ocr.records").joinpath("lua")
        prelude = lua.joinpath("_prelude.lua").read_text(encoding="utf-8")
        self._scripts = {
            name: self.client.register_script(
                _FLAGS.get(name, "#!lua flags=allow-oom\n")
                + prelude
                + lua.joinpath(f"{name}.lua").read_text(encoding="utf-8")
            )
            for name in _SCRIPTS
        }
        self._memory: tuple[float, float] = (0.0, 0.0)
        self._lock = threading.Lock()

    def run(self, script: str, *args: Any, patient: bool = False) -> Any:
        """Run a script by its name; `patient` waits long for it and does not repeat it.

        Raises:
            RecordsUnavailable: Redis cannot be reached, is loading, full or read-only.
        """
        with translated():
            client = self._patient if patient else self.client
            return self._scripts[script](args=args, client=client)

    def memory_share(self) -> float:
        """Used part of ``maxmemory``, 0 without one; at most `MEMORY_SECONDS` old."""
        now = time.monotonic()
        with self._lock:
            until, share = self._memory
        if until > now:
            return share
        with translated():
            info = self.client.info("memory")
        limit = int(info.get("maxmemory") or 0)
        share = int(info["used_memory"]) / limit if limit else 0.0
        with self._lock:
            self._memory = (now + MEMORY_SECONDS, share)
        return share

    def wait(self, request_id: str, seconds: float) -> None:
        """Return once the job's ``finished`` event is there, or after `seconds`.

        Reads the stream from its beginning, so an event before the call is never missed.
        Outlives a restart of Redis within the time.
        """
        deadline = time.monotonic() + seconds
        last = "0"
        while (left := deadline - time.monotonic()) > 0:
            try:
                block = max(1, min(BLOCK_MS, int(left * 1000)))
                answer: Any = self._waiting.xread({f"ev:{request_id}": last}, block=block)
            except redis.RedisError:
                time.sleep(min(0.2, left))
                continue
            for event_id, fields in _entries(answer):
                last = event_id
                if fields.get("type") == "finished":
                    return

    def close(self) -> None:
        for client in (self.client, self._waiting, self._patient):
            client.close()


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (redis.exceptions.OutOfMemoryError, redis.exceptions.ReadOnlyError) as error:
        raise RecordsUnavailable(retry_after_seconds=5) from error
    except redis.ResponseError as error:
        # These pass; anything else is a bug of ours and must be seen.
        if str(error).startswith(_PASSING):
            raise RecordsUnavailable(retry_after_seconds=5) from error
        raise
    except redis.RedisError as error:
        raise RecordsUnavailable(retry_after_seconds=2) from error


#: How errors begin that redis-py has no class for; a script's own error repeats the cause's code.
_PASSING = ("OOM", "READONLY", "LOADING", "MISCONF", "NOREPLICAS", "MASTERDOWN", "BUSY")


def _entries(answer: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Entries of the one stream that was read: RESP3 answers a map, RESP2 a list of pairs."""
    streams = answer.values() if isinstance(answer, dict) else [s[1] for s in answer or []]
    for entries in streams:
        nested = entries and isinstance(entries[0], list) and entries[0]
        if nested and isinstance(entries[0][0], list | tuple):
            entries = entries[0]
        yield from entries
