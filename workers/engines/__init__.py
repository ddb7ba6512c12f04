"""Which engines there are, which of them are installed, and how one is made.

Engines are named here by import path, so that a worker imports only the one that it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from shutil import which
from typing import Literal, NamedTuple

from casola_ocr.engines import GPU_ENGINES
from casola_ocr.errors import ConfigurationError
from casola_ocr.settings import Settings
from workers.engines.base import Engine, ThreadedEngine


class EngineEntry(NamedTuple):
    """Where an engine's class is, and the packages and programs that it cannot run without."""

    module: str
    name: str
    needs: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    #: Engines that it is made of, given to it instead of the threads.
    parts: tuple[str, ...] = ()
    #: ``prefork``: an `Engine` in each child. ``threads``: one `ThreadedEngine` for all threads.
    pool: Literal["prefork", "threads"] = "prefork"


#: Engines that read on the CPU, by the name that clients send as `model`.
CPU_ENGINES: dict[str, EngineEntry] = {
    "pp-ocrv6": EngineEntry("workers.engines.ppocr", "PPOcrEngine", ("rapidocr", "onnxruntime")),
    "tesseract": EngineEntry(
        "workers.engines.tesseract", "TesseractEngine", programs=("tesseract",)
    ),
    "auto": EngineEntry("workers.engines.auto", "AutoEngine", parts=("pp-ocrv6", "tesseract")),
}

#: A worker runs them only when it is told to.
_ON_GPU = {
    name: EngineEntry("workers.engines.deepseek", "make", pool="threads") for name in GPU_ENGINES
}


def installed_engines() -> tuple[str, ...]:
    """Return the names of the CPU engines that have all they need."""
    return tuple(name for name, entry in CPU_ENGINES.items() if not _missing(entry))


def pool_of(names: Sequence[str]) -> Literal["prefork", "threads"]:
    """The pool in which a worker runs these engines.

    Raises:
        ConfigurationError: they need different ones, or two of them a GPU.
    """
    known = CPU_ENGINES | _ON_GPU
    pools = {known[name].pool for name in names if name in known} or {"prefork"}
    if len(pools) > 1 or len(_ON_GPU.keys() & set(names)) > 1:
        raise ConfigurationError(
            f"The engines {', '.join(names)} need workers of their own: set CASOLA_ENGINES for "
            "each worker."
        )
    return pools.pop()


def make_engine(name: str, threads: int) -> Engine:
    """Make a CPU engine with its weights loaded.

    Raises:
        ConfigurationError: there is no such engine, or it is not fully installed.
    """
    return _made(name, threads, {})


def make_engines(names: Sequence[str], settings: Settings) -> Mapping[str, Engine | ThreadedEngine]:
    """Make the engines of one process; one that is a part of another is loaded once.

    Raises:
        ConfigurationError: there is no such engine, or it is not fully installed.
    """
    made: dict[str, Engine] = {}
    return {
        name: _on_gpu(name, settings)
        if name in _ON_GPU
        else _made(name, settings.cpu_threads, made)
        for name in names
    }


def _made(name: str, threads: int, made: dict[str, Engine]) -> Engine:
    """A CPU engine, from those that were made before where it is among them."""
    if name not in made:
        entry = CPU_ENGINES.get(name)
        if entry is None:
            known = ", ".join(sorted(CPU_ENGINES | _ON_GPU))
            raise ConfigurationError(f"There is no engine '{name}'; known engines: {known}.")
        if missing := _missing(entry):
            raise ConfigurationError(f"The engine '{name}' needs {', '.join(missing)}.")
        engine: Callable[..., Engine] = getattr(import_module(entry.module), entry.name)
        parts = [_made(part, threads, made) for part in entry.parts]
        made[name] = engine(*parts) if parts else engine(threads)
    return made[name]


def _on_gpu(name: str, settings: Settings) -> ThreadedEngine:
    """A GPU engine, and what makes the CPU engine that reads what it cannot be trusted with."""
    entry = _ON_GPU[name]
    make: Callable[..., ThreadedEngine] = getattr(import_module(entry.module), entry.name)
    # The last is made of the others.
    fallback = installed_engines()[-1:]
    threads = settings.cpu_threads
    return make(name, settings, (lambda: make_engine(fallback[0], threads)) if fallback else None)


def _missing(entry: EngineEntry) -> list[str]:
    """What the engine needs and this machine does not have."""
    packages = [f"the package {name}" for name in entry.needs if find_spec(name) is None]
    programs = [f"the program {name}" for name in entry.programs if which(name) is None]
    parts = [what for part in entry.parts for what in _missing(CPU_ENGINES[part])]
    return [*packages, *programs, *parts]
