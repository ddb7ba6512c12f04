"""``casola-ocr search …``: keeping the index beside an API, and making it anew."""

from __future__ import annotations

import signal
import threading
import time
from typing import Annotated

import typer
from rich.console import Console

from casola_ocr import logs
from casola_ocr.errors import ConfigurationError
from casola_ocr.objects import keys
from casola_ocr.search.index import IndexOutdated
from casola_ocr.search.indexes import SILENT_SECONDS, Indexes
from casola_ocr.settings import Settings, load_settings

search_app = typer.Typer(no_args_is_help=True, help="The index of texts, beside each API.")

#: How often a rebuild says how far it is.
TOLD_SECONDS = 2.0

console = Console(highlight=False)


@search_app.command()
def follow() -> None:
    """Keep the index as the jobs are, until SIGTERM; one on each machine with an API."""
    from casola_ocr.search.follow import Follower
    from casola_ocr.service import Service

    settings = load_settings()
    logs.configure(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Follower(Service.open(settings), Indexes(settings.search_folder)).run(stop)


@search_app.command()
def rebuild(
    tenant: Annotated[str | None, typer.Option(help="only whose; without it, everybody's")] = None,
) -> None:
    """Make this machine's index anew from the store; searches go on meanwhile."""
    from casola_ocr.embedded import with_running_valkey
    from casola_ocr.search.follow import rebuild as make
    from casola_ocr.service import Service

    service = Service.open(with_running_valkey(load_settings()))
    indexes = Indexes(service.settings.search_folder)
    tenants = sorted(service.store.folders(keys.TENANTS_PREFIX))
    if tenant is not None and tenant not in tenants:
        raise ConfigurationError("There is no such tenant; 'casola-ocr tenants list' names them.")
    for name in [tenant] if tenant else tenants:
        begun = told_at = time.monotonic()

        def told(count: int, name: str = name) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > TOLD_SECONDS:
                told_at = time.monotonic()
                console.print(f"{name}: {count:,} documents so far", markup=False)

        count = make(service, indexes, name, told)
        seconds = time.monotonic() - begun
        console.print(f"{name}: {count:,} documents in {seconds:.1f} s", markup=False)


def condition(settings: Settings) -> str:
    """The index's state in a sentence, for ``doctor``.

    Raises:
        ConfigurationError: it is not kept up.
    """
    indexes = Indexes(settings.search_folder)
    silence = indexes.silence()
    if silence == float("inf"):
        return "search: no index here yet; 'casola-ocr search follow' keeps one beside an API"
    if silence > SILENT_SECONDS:
        raise ConfigurationError(
            f"the index was last kept up {silence:.0f} s ago; 'casola-ocr search follow' does it."
        )
    count = 0
    for tenant in indexes.tenants():
        try:
            count += indexes.count(tenant)
        except IndexOutdated:
            continue
    state = "up to date" if indexes.complete() else "still being made"
    return f"search: {count:,} documents, {indexes.bytes() / 1e6:.1f} MB, {state}"
