"""The parts of the service, put together once for each process."""

from __future__ import annotations

from dataclasses import dataclass

from casola_ocr import recovery
from casola_ocr.dead import DeadLetters
from casola_ocr.errands.shelf import Errands
from casola_ocr.exports.exporter import Exporter
from casola_ocr.files import Files
from casola_ocr.jobs import Jobs
from casola_ocr.links import FileLinks
from casola_ocr.objects import ObjectStore, open_store
from casola_ocr.pictures import Pictures
from casola_ocr.publisher import Publisher
from casola_ocr.records import Records
from casola_ocr.repeats import Answers
from casola_ocr.settings import Settings
from casola_ocr.signing import Signer
from casola_ocr.sources import Sources
from casola_ocr.tenants import Tenants
from casola_ocr.tokens import Tokens
from casola_ocr.uploads import Uploads
from casola_ocr.webhooks.deliveries import Deliveries
from casola_ocr.webhooks.fal_key import FalKey
from casola_ocr.webhooks.secrets import Secrets


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
    files: Files
    signer: Signer
    errands: Errands
    links: FileLinks
    sources: Sources
    uploads: Uploads
    pictures: Pictures
    tenants: Tenants
    tokens: Tokens
    answers: Answers
    deliveries: Deliveries
    secrets: Secrets
    fal_key: FalKey

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
        files, signer = Files(settings, store, tenants), Signer(store)
        links = FileLinks(signer, files)
        jobs = Jobs(settings, records, store, publisher, tenants)
        secrets, fal_key = Secrets(store), FalKey(store)
        return cls(
            settings=settings,
            records=records,
            store=store,
            publisher=publisher,
            jobs=jobs,
            dead=DeadLetters(records, store, jobs),
            exports=Exporter(settings, store, jobs),
            files=files,
            signer=signer,
            errands=Errands(settings, records, store, files, tenants),
            links=links,
            sources=Sources(settings, files, links),
            uploads=Uploads(settings, store, signer),
            pictures=Pictures(settings, store, jobs),
            tenants=tenants,
            tokens=Tokens(store),
            answers=Answers(records, store),
            deliveries=Deliveries(settings, records, store, jobs, secrets, fal_key),
            secrets=secrets,
            fal_key=fal_key,
        )

    def recover(self, *, thorough: bool = True) -> int:
        """Register every unfinished job that has no record; returns how many."""
        return recovery.recover(
            self.settings, self.records, self.store, self.publisher, thorough=thorough
        )
