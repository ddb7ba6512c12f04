"""When webhooks are due. What is owed at all is written in the store: this can be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from casola_ocr.records.connection import Connection


@dataclass(frozen=True, kw_only=True)
class Due:
    """A delivery of a tenant to a host; `name` is ``{request ID}-{run}``."""

    tenant: str
    #: As `Webhook.host`.
    host: str
    name: str

    @property
    def request_id(self) -> str:
        return self.name.partition("-")[0]

    @property
    def run(self) -> int:
        return int(self.name.partition("-")[2])


class Schedule:
    """The schedule of deliveries. Safe to share between threads and greenlets, and to repeat.

    All methods raise `RecordsUnavailable`.
    """

    def __init__(self, connection: Connection):
        self._connection = connection

    def put(self, due: Due, delay_ms: int = 0) -> None:
        """Have it taken after `delay_ms`, whenever it was to be taken before."""
        self._put(due.tenant, due.host, [due.name], delay_ms)

    def add(self, tenant: str, host: str, names: Sequence[str]) -> None:
        """Have those taken now that are not scheduled."""
        self._put(tenant, host, names, 0, only_new=True)

    def remove(self, due: Due) -> None:
        self._put(due.tenant, due.host, [due.name], -1)

    def take(
        self, most: int, *, lease_ms: int, per_host: int, per_tenant: int, held: Mapping[str, int]
    ) -> list[Due]:
        """What is due, at most so many; each is taken again after the lease unless it is put.

        `held` says how many deliveries the caller is at, of each tenant by its name and of each
        host by a slash and its own; no more than `per_host` and `per_tenant` are taken of one.
        """
        asked = {
            "most": most, "lease": lease_ms, "per_host": per_host, "per_tenant": per_tenant,
            # Lua's JSON takes an empty object for a list; both have no such key.
            "held": dict(held),
        }  # fmt: skip
        found = self._connection.run("hook_take", json.dumps(asked))
        return [Due(tenant=tenant, host=host, name=name) for tenant, host, name in found]

    def _put(
        self, tenant: str, host: str, names: Sequence[str], delay_ms: int, *, only_new: bool = False
    ) -> None:
        self._connection.run("hook_put", f"{tenant}/{host}", delay_ms, int(only_new), *names)
