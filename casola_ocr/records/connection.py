"""The connections to Redis or Valkey, the scripts, and their errors. The only redis-py importer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from casola_ocr.errors import RecordsUnavailable

#: How long connecting may take, and subscribing to a channel.
CONNECT_SECONDS = 2
#: Connections of one process at most; a caller waits for one.
MAX_CONNECTIONS = 64
#: How long: far longer than any command takes.
POOL_SECONDS = 20
#: How long a script may take that looks at all records.
PATIENCE_SECONDS = 120
#: How long an answer about the server's memory is good: at most this much is admitted too late.
MEMORY_SECONDS = 1.0

_SCRIPTS = (
    "admit", "submit", "take", "enter", "heartbeat", "settle", "release", "lend", "opened",
    "reject", "close", "cancel", "erase", "erased", "forget", "sweep", "bury", "recount",
    "pulse", "live", "standing", "overview", "room", "hook_take", "hook_put",
)  # fmt: skip
#: Scripts but these go on when the server is full: work that is finished, cancelled or deleted
#: makes room. Those that only read go on in a read-only one, too.
#: https://valkey.io/topics/eval-intro/#script-flags
_READING = ("admit", "live", "standing", "overview", "room")
_FLAGS = {"submit": "", **dict.fromkeys(_READING, "#!lua flags=no-writes\n")}


class _Pool(redis.BlockingConnectionPool):
    """Connects no more once it is closed: to a thread that comes late Redis is away."""

    _closed = False

    def get_connection(self, *args: Any, **options: Any) -> Any:
        if self._closed:
            raise redis.ConnectionError("the pool is closed")
        return super().get_connection(*args, **options)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._closed = True
        super().close()


class Connection:
    """The clients of one process: safe to share between threads and greenlets."""

    def __init__(self, url: str):
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_connect_timeout": CONNECT_SECONDS,
            # Every script is idempotent, so a connection that broke in the middle is retried.
            "retry": Retry(ExponentialBackoff(cap=0.2, base=0.02), 2),
        }
        # Any: redis-py's types do not know that `decode_responses` leaves only str.
        pool: Any = _Pool.from_url(
            url,
            socket_timeout=5,
            # A thousand requests that are woken at once share these.
            max_connections=MAX_CONNECTIONS,
            timeout=POOL_SECONDS,
            **options,
        )
        self.client: Any = redis.Redis.from_pool(pool)
        options["retry"] = Retry(ExponentialBackoff(cap=0.2, base=0.02), 0)
        # For listening: whoever does knows how long silence may last.
        self._waiting: Any = redis.Redis.from_url(url, socket_timeout=None, **options)
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

    @contextmanager
    def channel(self, name: str) -> Iterator[Callable[[float, bool], str | None]]:
        """Listen to what is published; what it yields belongs to one thread.

        That is a function of seconds, and of whether to ask for a sign of life before: it returns
        a message, an empty string for anything else that came, and None for silence.
        """
        with self._waiting.pubsub() as pubsub:
            pubsub.subscribe(name)

            def receive(seconds: float, ask: bool) -> str | None:
                if ask:
                    pubsub.ping()
                message: Any = pubsub.get_message(timeout=seconds)
                if message is None:
                    return None
                return str(message["data"]) if message["type"] == "message" else ""

            # The first message says that the subscription holds.
            if receive(CONNECT_SECONDS, False) is None:
                raise redis.TimeoutError("no answer to SUBSCRIBE")
            yield receive

    def close(self) -> None:
        """Disconnect; whoever asks afterwards gets `RecordsUnavailable`."""
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
