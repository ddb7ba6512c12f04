"""The parts of the service, put together once for each process."""

from __future__ import annotations

from dataclasses import dataclass

from casola_ocr import recovery
from casola_ocr.jobs import Jobs
from casola_ocr.objects import ObjectStore, open_store
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.settings import Settings
from casola_ocr.tenants import Tenants
from casola_ocr.tokens import Tokens


class _NoPublisher:
    """For commands that run beside the service: the reconciler publishes what they register."""

    def publish(self, request_id: str, steps: object, pages_queue: str) -> None:
        return


@dataclass(frozen=True, kw_only=True)
class Service:
    """Opened without connecting: each part connects when it is first used."""

    settings: Settings
    records: Records
    store: ObjectStore
    publisher: Publisher
    jobs: Jobs
    tenants: Tenants
    tokens: Tokens

    @classmethod
    def open(cls, settings: Settings, publisher: Publisher | None = None) -> Service:
        publisher = publisher or _NoPublisher()
        records = Records(settings.redis_url.get_secret_value() or "redis://127.0.0.1:6379/0")
        store = open_store(settings)
        return cls(
            settings=settings,
            records=records,
            store=store,
            publisher=publisher,
            jobs=Jobs(settings, records, store, publisher),
            tenants=Tenants(store),
            tokens=Tokens(store),
        )

    def recover(self) -> int:
        """Register every unfinished job that has no record; returns how many."""
        return recovery.recover(self.settings, self.records, self.store, self.publisher)
