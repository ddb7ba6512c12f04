"""What the commands share that talk to a running server: the connection, several at once, exits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from casola_ocr.client import AsyncClient, NotReached
from casola_ocr.settings import load_settings

errors = Console(stderr=True, highlight=False)

FAILED, NO_SERVER, STOPPED = 1, 3, 130

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def connect(server: str | None, token: str) -> AsyncClient:
    """A client of the server at this address; without one, of this machine's own.

    Raises:
        typer.BadParameter: it is no address.
    """
    from casola_ocr.embedded import own_url
    from casola_ocr.tls import own_trust

    settings = load_settings()
    http = httpx.AsyncClient(
        # A proxy of the environment cannot reach this machine's own server.
        trust_env=server is not None,
        verify=True if server else own_trust(settings),
    )
    try:
        return AsyncClient(server or own_url(settings), token, http=http)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def run(work: Coroutine[Any, Any, _Made]) -> _Made:
    """Run a command's work to its end.

    Raises:
        typer.Exit: no server answers, or the user stopped it; it was told why.
    """
    try:
        return asyncio.run(work)
    except NotReached as error:
        tell(f"error: {error.detail} Start one with 'casola-ocr serve', or name one with --server.")
        raise typer.Exit(NO_SERVER) from None
    except KeyboardInterrupt:
        tell("stopped. The server goes on with what it has; the same command takes it up again.")
        raise typer.Exit(STOPPED) from None


async def each(
    items: Iterable[_Item],
    work: Callable[[_Item], Awaitable[_Made]],
    *,
    limit: int,
    ordered: bool = False,
) -> AsyncIterator[_Made]:
    """What comes of each item when it is there, or in the order of the items; `limit` at once."""
    waiting, running = iter(items), list[asyncio.Future[_Made]]()
    try:
        while True:
            while len(running) < limit and (item := next(waiting, None)) is not None:
                running.append(asyncio.ensure_future(work(item)))
            if not running:
                return
            await asyncio.wait(
                running[:1] if ordered else running, return_when=asyncio.FIRST_COMPLETED
            )
            ready = next(task for task in running if task.done())
            running.remove(ready)
            yield ready.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def progress(*, quiet: bool = False) -> Progress:
    """A bar on a terminal, else nothing."""
    return Progress(
        TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=errors, disable=quiet or not errors.is_terminal,
    )  # fmt: skip


def tell(sentence: str) -> None:
    errors.print(sentence, markup=False, soft_wrap=True)
