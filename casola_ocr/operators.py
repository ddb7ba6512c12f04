"""The commands of those who look after the service: tenants, tokens, dead letters, fsck."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from casola_ocr.errors import CasolaError, ConfigurationError
from casola_ocr.settings import load_settings

tenants_app = typer.Typer(no_args_is_help=True, help="Who owns jobs and a library.")
tokens_app = typer.Typer(no_args_is_help=True, help="Secrets with which clients name a tenant.")
webhooks_app = typer.Typer(no_args_is_help=True, help="Secrets that sign a tenant's webhooks.")
dead_app = typer.Typer(no_args_is_help=True, help="Jobs with pages that failed through our fault.")

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

Server = Annotated[str | None, typer.Option(help="address of a running server")]
AdminToken = Annotated[str, typer.Option(envvar="CASOLA_TOKEN", help="a token made with --admin")]


@tenants_app.command("create")
def tenants_create(name: str) -> None:
    """Make a tenant."""
    _service().tenants.create(name)
    console.print(f"tenant {name} was made", markup=False)


@tenants_app.command("list")
def tenants_list() -> None:
    """List the tenants."""
    for name in _service().tenants.list():
        console.print(name, markup=False)


@tenants_app.command("set")
def tenants_set(
    name: str,
    retention_days: Annotated[
        float, typer.Option(help="delete new jobs after so many days; 0 = keep them")
    ],
) -> None:
    """Change what holds for a tenant; running API processes notice within half a minute."""
    _service().tenants.set_retention(name, retention_days)
    console.print(f"tenant {name}: retention is {retention_days:g} days", markup=False)


@tokens_app.command("create")
def tokens_create(
    tenant: Annotated[str, typer.Option(help="whose token")],
    label: Annotated[str, typer.Option(help="what it is for")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="may look after the service")] = False,
) -> None:
    """Make a token; its secret is shown now and never again."""
    _existing(tenant)
    secret, token = _service().tokens.create(tenant, label, admin=admin)
    errors.print(f"token {token.id} of tenant {tenant}; keep it, it is not shown again:",
                 markup=False)  # fmt: skip
    sys.stdout.write(secret + "\n")


@tokens_app.command("list")
def tokens_list(tenant: Annotated[str | None, typer.Option(help="only whose")] = None) -> None:
    """List tokens by their IDs."""
    for token in _service().tokens.list(tenant):
        state = "revoked" if token.revoked_at else "admin" if token.admin else "valid"
        made = time.strftime("%Y-%m-%d", time.gmtime(token.created_at / 1000))
        console.print(f"{token.id}  {token.tenant}  {state}  {made}  {token.label}", markup=False)


@tokens_app.command("revoke")
def tokens_revoke(token_id: str) -> None:
    """End a token's life; running API processes notice within seconds."""
    _service().tokens.revoke(token_id)
    console.print(f"token {token_id} was revoked", markup=False)


@webhooks_app.command("secret")
def webhooks_secret(tenant: Annotated[str, typer.Option(help="whose webhooks")]) -> None:
    """Show the secret that signs a tenant's webhooks; it is made when it is first asked for."""
    _existing(tenant)
    sys.stdout.write(_service().secrets.valid(tenant)[0].secret + "\n")


@webhooks_app.command("rotate")
def webhooks_rotate(
    tenant: Annotated[str, typer.Option(help="whose webhooks")],
    keep_hours: Annotated[
        float, typer.Option(min=0, help="how long the old one goes on to sign beside the new one")
    ] = 24,
) -> None:
    """Make a new secret; running processes notice within seconds."""
    _existing(tenant)
    newest, *older = _service().secrets.rotate(tenant, keep_seconds=keep_hours * 3600)
    errors.print(f"{len(older)} older secrets go on to sign for now; the new one:", markup=False)
    sys.stdout.write(newest.secret + "\n")


@dead_app.command("list")
def dead_list(server: Server = None, token: AdminToken = "", limit: int = 50) -> None:
    """List jobs with pages that failed through our fault, newest first."""
    table = Table("request ID", "tenant", "engine", "failed at", "what failed", box=None)
    for letter in _ask(server, token, "GET", "/api/v1/dead", limit=limit)["data"]:
        pages = [f"page {p['page']}: {p['code']} x{p['attempts']}" for p in letter["pages"][:3]]
        more = len(letter["pages"]) - len(pages)
        what = [letter["code"], *pages, *([f"and {more} pages"] if more else [])]
        table.add_row(
            letter["request_id"], letter["tenant"], letter["engine"], letter["failed_at"],
            ", ".join(part for part in what if part),
        )  # fmt: skip
    (console if console.is_terminal else Console(highlight=False, width=200)).print(table)


@dead_app.command("retry")
def dead_retry(
    request_ids: list[str],
    server: Server = None,
    token: AdminToken = "",
    model: Annotated[str, typer.Option(help="another model for the failed pages")] = "",
) -> None:
    """Read the failed pages of these jobs again."""
    for request_id in request_ids:
        _ask(server, token, "POST", f"/api/v1/dead/{request_id}/retry", model=model)
        console.print(f"{request_id} is read again", markup=False)


@dead_app.command("drop")
def dead_drop(request_ids: list[str], server: Server = None, token: AdminToken = "") -> None:
    """Take jobs off the list; they stay as they are."""
    for request_id in request_ids:
        _ask(server, token, "DELETE", f"/api/v1/dead/{request_id}")
        console.print(f"{request_id} was dropped", markup=False)


def fsck(
    repair: Annotated[bool, typer.Option("--repair", help="mend what is found")] = False,
) -> None:
    """Compare store, records and indexes; exit status 1 when something is wrong and stays so."""
    from casola_ocr.fsck import check

    service = running_service()
    findings = check(service, repair=repair)
    for finding in findings:
        state = "repaired" if repair else "found"
        console.print(f"{state}  {finding.kind}  {finding.subject}  {finding.detail}", markup=False)
    console.print(f"{len(findings)} findings", markup=False)
    if findings and not repair:
        console.print("'casola-ocr fsck --repair' mends them.", markup=False)
        raise typer.Exit(1)


def running_service() -> Any:
    """The service with its records: the set ones, or the embedded Valkey of the data folder.

    Raises:
        ConfigurationError: neither is there.
    """
    from casola_ocr.embedded import with_running_valkey
    from casola_ocr.service import Service

    settings = with_running_valkey(load_settings())
    if not settings.redis_url.get_secret_value():
        raise ConfigurationError(
            "CASOLA_REDIS_URL is not set, and no server was started on this data folder."
        )
    return Service.open(settings)


def _existing(tenant: str) -> None:
    from casola_ocr.tenants import LOCAL_TENANT

    if tenant != LOCAL_TENANT and not _service().tenants.exists(tenant):
        raise ConfigurationError(
            "There is no such tenant; 'casola-ocr tenants create NAME' makes one."
        )


def _service() -> Any:
    from casola_ocr.service import Service

    return Service.open(load_settings())


def _ask(server: str | None, token: str, method: str, path: str, **query: Any) -> Any:
    """What a running server answers.

    Raises:
        CasolaError: it refuses, or none answers.
    """
    import httpx

    from casola_ocr.embedded import own_url
    from casola_ocr.tls import own_trust

    settings = load_settings()
    base = (server or own_url(settings)).rstrip("/")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.request(
            method, base + path, headers=headers, timeout=30, trust_env=server is not None,
            verify=True if server else own_trust(settings),
            params={name: value for name, value in query.items() if value},
        )  # fmt: skip
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"No server answers at {base}. Start one with 'casola-ocr serve', or name one with "
            "--server."
        ) from error
    body = answer.json() if answer.content else None
    if answer.is_error:
        raise CasolaError(body["detail"] if body else None)
    return body
