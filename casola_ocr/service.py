"""The parts of the service, put together once for each process."""

from __future__ import annotations

from dataclasses import dataclass

from casola_ocr import recovery
from casola_ocr.dead import DeadLetters
from casola_ocr.exports.exporter import Exporter
from casola_ocr.jobs import Jobs
from casola_ocr.objects import ObjectStore, open_store
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.settings import Settings
from casola_ocr.tenants import Tenants
from casola_ocr.tokens import Tokens


class _NoPublisher:
    """For commands that run beside the service: the reconciler publishes what they register."""

    def publish(self, hints: object) -> None:
        return


@dataclass(frozen=True, kw_only=True)
class Service:
    """Opened without connecting: each part connects when it is first used."""

    settings: Settings
    records: Records
    store: ObjectStore
    publisher: Publisher
    jobs: Jobs
    dead: DeadLetters
    exports: Exporter
    tenants: Tenants
    tokens: Tokens

    @classmethod
    def open(
        cls,
        settings: Settings,
        publisher: Publisher | None = None,
        store: ObjectStore | None = None,
    ) -> Service:
        publisher = publisher or _NoPublisher()
        records = Records(settings.redis_url.get_secret_value() or "redis://127.0.0.1:6379/0")
        store = store or open_store(settings)
        tenants = Tenants(store)
        jobs = Jobs(settings, records, store, publisher, tenants)
        return cls(
            settings=settings,
            records=records,
            store=store,
            publisher=publisher,
            jobs=jobs,
            dead=DeadLetters(records, store, jobs),
            exports=Exporter(settings, store, jobs),
            tenants=tenants,
            tokens=Tokens(store),
        )

    def recover(self, *, thorough: bool = True) -> int:
        """Register every unfinished job that has no record; returns how many."""
        return recovery.recover(
            self.settings, self.records, self.store, self.publisher, thorough=thorough
        )
