"""The command line: ``casola-ocr …``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from casola_ocr import __version__, operators
from casola_ocr.errors import CasolaError, ConfigurationError
from casola_ocr.languages import LANGUAGES, MAIN_LANGUAGES
from casola_ocr.reading import calibrate, read
from casola_ocr.search.commands import search_app
from casola_ocr.settings import load_settings, unknown_variables, variable_name
from casola_ocr.text.calibration import read_tables

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn images and documents into text, on machines of your own. "
    "Every setting is a CASOLA_* variable: see 'casola-ocr settings'.",
)
app.add_typer(operators.tenants_app, name="tenants")
app.add_typer(operators.tokens_app, name="tokens")
app.add_typer(operators.dead_app, name="dead")
app.add_typer(search_app, name="search")
app.add_typer(operators.webhooks_app, name="webhooks")
app.command()(operators.fsck)
app.command()(read)
app.command()(calibrate)

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

DataDir = Annotated[Path | None, typer.Option(help="everything that is kept [CASOLA_DATA_DIR]")]


def main() -> None:
    """Run a command; an error of ours is one sentence and what to do, never a stack trace."""
    try:
        app()
    except CasolaError as error:
        errors.print(f"error: {error.detail}", markup=False, soft_wrap=True)
        errors.print(error.advice, markup=False, soft_wrap=True)
        sys.exit(2)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="address of the API [CASOLA_HOST]")] = None,
    port: Annotated[int | None, typer.Option(help="port of the API [CASOLA_PORT]")] = None,
    data_dir: DataDir = None,
    cpu_workers: Annotated[
        int | None, typer.Option(help="children that read pages [CASOLA_CPU_WORKERS]")
    ] = None,
    cpu_threads: Annotated[
        int | None, typer.Option(help="threads of each [CASOLA_CPU_THREADS]")
    ] = None,
    api_workers: Annotated[
        int | None, typer.Option(help="API processes [CASOLA_API_WORKERS]")
    ] = None,
    tls: Annotated[
        bool | None,
        typer.Option("--tls", help="https with a certificate that is made here [CASOLA_TLS]"),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="https with this certificate, PEM [CASOLA_TLS_CERT]")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(help="its key, if in another file [CASOLA_TLS_KEY]")
    ] = None,
) -> None:
    """Run everything on this machine: Valkey, workers, reconciler and API."""
    from casola_ocr.embedded import serve as run

    settings = load_settings(
        host=host, port=port, data_dir=data_dir, cpu_workers=cpu_workers,
        cpu_threads=cpu_threads, api_workers=api_workers,
        tls=tls, tls_cert=tls_cert, tls_key=tls_key,
    )  # fmt: skip
    for sentence in unknown_variables(os.environ):
        errors.print(f"warning: {sentence}", markup=False)
    raise typer.Exit(run(settings))


@app.command()
def worker(
    role: Annotated[str, typer.Option(help="'pages' reads pages, 'prepare' opens documents")],
) -> None:
    """Run one worker until SIGTERM."""
    _module("workers.main").run_worker(load_settings(), role)


@app.command()
def reconcile() -> None:
    """Run the reconciler until SIGTERM: it publishes lost work again."""
    _module("workers.reconcile").run(load_settings())


@app.command()
def api() -> None:
    """Run the HTTP API under gunicorn until SIGTERM."""
    from casola_ocr.embedded import require_token_off_loopback

    settings = load_settings()
    require_token_off_loopback(settings)
    if settings.tls and not settings.tls_cert:
        raise ConfigurationError(
            "Only 'serve' makes a certificate of its own; give one with CASOLA_TLS_CERT."
        )
    # gunicorn takes this process over.
    command = [sys.executable, "-P", "-m", "casola_ocr.gunicorn_api"]
    os.execv(sys.executable, command)  # noqa: S606 - a fixed command, no shell


@app.command()
def doctor() -> None:
    """Check this installation, one line each, with what to do."""
    import httpx

    from casola_ocr.embedded import own_url, with_running_valkey
    from casola_ocr.service import Service
    from casola_ocr.tls import own_trust

    settings = with_running_valkey(load_settings())
    service = Service.open(settings)
    base = own_url(settings)

    def python() -> str:
        return f"Python {sys.version.split()[0]}, casola-ocr {__version__}"

    def redis() -> str:
        if not settings.redis_url.get_secret_value():
            return "Redis: 'casola-ocr serve' starts its own Valkey"
        found = service.records.info()
        if int(str(found["version"]).partition(".")[0]) < 7:
            raise ConfigurationError(f"Redis {found['version']} is too old: version 7 is needed.")
        if found["maxmemory-policy"] != "noeviction":
            raise ConfigurationError("Redis may evict queues: set maxmemory-policy noeviction.")
        if found["maxmemory"] == "0":
            raise ConfigurationError(
                "Redis has no limit, so work is accepted until the machine is full: set maxmemory."
            )
        if found["appendonly"] != "yes":
            raise ConfigurationError("Redis forgets its data when it dies: set appendonly yes.")
        service.records.check()
        return f"Redis or Valkey {found['version']}"

    def store() -> str:
        service.store.check()
        return "object store: an object was written and removed"

    def engines() -> str:
        installed: tuple[str, ...] = _module("workers.engines").installed_engines()
        if not installed:
            raise ConfigurationError("No engine is installed: pip install casola-ocr again.")
        return f"engines installed: {', '.join(installed)}"

    def tesseract() -> str:
        if "tesseract" not in _module("workers.engines").installed_engines():
            return f"tesseract: not installed; {_apt_get(MAIN_LANGUAGES)} brings it"
        engine = _module("workers.engines.tesseract").TesseractEngine(1)
        missing = [code for code in MAIN_LANGUAGES if code not in engine.languages]
        advice = f"; {_apt_get(missing)} brings {', '.join(missing)}" if missing else ""
        return f"{engine.version}: {len(engine.languages)} languages{advice}"

    def models() -> str:
        spec = find_spec("rapidocr")
        if spec is None or spec.origin is None:
            raise ConfigurationError("RapidOCR is not installed: pip install casola-ocr again.")
        found = sorted(path.stem for path in Path(spec.origin).parent.glob("models/PP-OCRv6*.onnx"))
        if not found:
            raise ConfigurationError("RapidOCR has no models: pip install --force-reinstall it.")
        return f"RapidOCR models: {', '.join(found)}"

    def search() -> str:
        from casola_ocr.search.commands import condition

        return condition(settings)

    def calibration() -> str:
        if not settings.calibration_file:
            return "calibration: the tables that are shipped"
        own = ", ".join(read_tables(Path(settings.calibration_file)))
        return f"calibration: tables of your own for {own}"

    def variables() -> str:
        if unknown := unknown_variables(os.environ):
            raise ConfigurationError("; ".join(unknown))
        return "settings: every CASOLA_* variable is known"

    def server() -> str:
        try:
            answer = httpx.get(
                f"{base}/readyz", timeout=5, trust_env=False, verify=own_trust(settings)
            )
        except httpx.TransportError:
            return f"server: none answers at {base}; 'casola-ocr serve' starts one"
        try:
            parts = answer.json()["parts"].values()
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"What answers at {base} is not Casola OCR; choose another CASOLA_PORT."
            ) from None
        if missing := [part["detail"] for part in parts if not part["ready"]]:
            raise ConfigurationError(" ".join(missing))
        return f"server: ready at {base}"

    checks: list[Callable[[], str]] = [
        python,
        redis,
        store,
        engines,
        tesseract,
        models,
        calibration,
        search,
        variables,
        server,
    ]
    failed = False
    for check in checks:
        try:
            console.print(f"✓ {check()}", markup=False, soft_wrap=True)
        except CasolaError as error:
            failed = True
            console.print(f"✗ {check.__name__}: {error.detail}", markup=False, soft_wrap=True)
        except Exception as error:  # noqa: BLE001 - whatever a check meets is its finding
            failed = True
            console.print(f"✗ {check.__name__}: {error}", markup=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@app.command()
def recover() -> None:
    """Register every unfinished job that Redis does not know, from its manifest."""
    from casola_ocr import logs

    logs.configure(load_settings())
    found = operators.running_service().recover()
    console.print(f"{found} unfinished jobs were registered again")


@app.command()
def settings() -> None:
    """List every setting with its value (secrets masked), default and meaning."""
    found = load_settings()
    table = Table("variable", "value", "default", "meaning", box=None)
    for name, field in type(found).model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        table.add_row(
            variable_name(name), _shown(getattr(found, name)), _shown(default),
            field.description or "",
        )  # fmt: skip
    # A pipe has no width: there, one row is one line.
    (console if console.is_terminal else Console(highlight=False, width=250)).print(table)


def _apt_get(codes: Iterable[str]) -> str:
    """The command that installs Tesseract with these languages on Debian and Ubuntu."""
    packages = [name for code in codes for name in LANGUAGES[code].packages]
    return f"'apt-get install tesseract-ocr tesseract-ocr-osd {' '.join(packages)}'"


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _module(name: str) -> Any:
    """A module of a room that the domain must not import: only a command reaches it, by name."""
    import importlib

    return importlib.import_module(name)


if __name__ == "__main__":
    main()
