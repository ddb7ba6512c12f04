"""The environment, parsed once into one frozen object.

Every setting is ``CASOLA_<NAME>``; a secret can come from a file through ``CASOLA_<NAME>_FILE``.
Values are parsed strictly: ``CASOLA_MAX_FILE_MB=2O`` stops the process with a sentence that names
the setting. An empty value means the default. Nothing else in the project reads ``os.environ``.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from casola_ocr.errors import ConfigurationError

_PREFIX = "CASOLA_"
#: Read by the command line, not a setting of the service.
_OTHER = {"CASOLA_PASSWORD", "CASOLA_TOKEN"}
#: What a browser sends as the Origin of a page.
_ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class Settings(BaseSettings):
    """Everything that can be set. Immutable and safe to share between threads."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    host: str = Field("127.0.0.1", description="address on which the API listens")
    port: int = Field(8080, ge=0, le=65535, description="port on which the API listens")
    tls: bool = Field(
        False, description="'serve' answers by https, with a certificate that it makes once"
    )
    tls_names: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="more host names and addresses in that certificate, comma separated"
    )
    tls_cert: str = Field(
        "", description="PEM file with a certificate of your own and its chain; empty = none"
    )
    tls_key: str = Field("", description="PEM file with its key; empty = it is in that file too")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="web sites (such as https://example.com) whose pages may use fal's routes",
    )
    data_dir: Path = Field(Path("casola-data"), description="everything the embedded mode keeps")
    redis_url: SecretStr = Field(
        SecretStr(""), description="redis://… for broker and records; empty = embedded Valkey"
    )
    valkey_port: int = Field(
        0, ge=0, le=65535, description="port of the embedded Valkey; 0 = any free one"
    )
    object_store: str = Field(
        "", description="s3://bucket/prefix or file:///folder; empty = a folder under data_dir"
    )
    search_dir: str = Field(
        "", description="folder of the index of texts, beside each API; empty = under data_dir"
    )
    s3_endpoint_url: str = Field("", description="address of an S3-compatible server")
    s3_public_endpoint_url: str = Field(
        "", description="address of the same S3 server for clients that upload; empty = the above"
    )
    aws_access_key_id: str = Field(
        "", validation_alias=AliasChoices("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
        description="S3 access key; empty = boto3's own search",
    )  # fmt: skip
    aws_secret_access_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
        description="S3 secret key; empty = boto3's own search",
    )
    aws_region: str = Field(
        "", validation_alias=AliasChoices("AWS_REGION", "aws_region"),
        description="S3 region; empty = boto3's own search",
    )  # fmt: skip

    engines: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="engines that this worker runs, comma separated; empty = installed CPU ones"
    )
    cpu_workers: int = Field(
        default_factory=_cores,
        ge=1,
        le=512,
        description="worker children that read pages on CPUs; default: one for each core",
    )
    cpu_threads: int = Field(
        default_factory=lambda: min(2, _cores()),
        ge=1,
        le=256,
        description="threads of each CPU worker child",
    )
    slots: int = Field(
        128, ge=1, le=1024,
        description="pages in flight of a worker whose engine reads many at once, as a GPU does",
    )  # fmt: skip
    deepseek_ocr_model: str = Field(
        "deepseek-ai/DeepSeek-OCR", description="folder or hub ID of the engine deepseek-ocr"
    )
    deepseek_ocr_v2_model: str = Field(
        "deepseek-ai/DeepSeek-OCR-2", description="folder or hub ID of the engine deepseek-ocr-v2"
    )
    vllm_url: str = Field(
        "", pattern="^(https?://.*)?$",
        description="use this OpenAI-compatible vLLM server; empty = vLLM in the worker's process",
    )  # fmt: skip
    vllm_api_key: SecretStr = Field(SecretStr(""), description="what that server wants as its key")
    vllm_args: str = Field("{}", description="JSON object of more arguments for vLLM's engine")
    vllm_dtype: str = Field("bfloat16", description="number type of the model's weights")
    vllm_gpu_memory_share: float = Field(
        0.9, gt=0, le=1, description="part of the GPU's memory that vLLM takes"
    )
    vllm_max_model_tokens: int = Field(
        8192, ge=512, description="tokens of a page and its text together; the models' most is 8192"
    )
    vllm_max_tokens: int = Field(
        0, ge=0, description="tokens of a page's text; 0 = as many as the model has room for"
    )
    golden_minutes: float = Field(
        10, gt=0, description="how often a GPU worker proves that it still reads"
    )
    golden_seconds: float = Field(
        120, gt=0, description="how long such a proof may take before the worker is started again"
    )
    prepare_workers: int = Field(
        2, ge=1, le=64, description="worker children that download and open documents"
    )
    api_workers: int = Field(1, ge=1, le=64, description="API processes")

    max_file_mb: int = Field(20, ge=1, le=4096, description="largest file, in MB (1 MB = 1e6 B)")
    max_request_file_mb: int = Field(
        200, ge=1, le=4096, description="largest file of requests (JSON lines) of a batch, in MB"
    )
    max_files_per_request: int = Field(1000, ge=1, description="files of one multipart request")
    max_pages: int = Field(5000, ge=1, description="pages that are read of one document")
    max_page_megapixels: int = Field(100, ge=1, description="largest page, in million pixels")
    max_pending_pages: int = Field(
        100_000, ge=1, description="pages waiting in the whole service before submits get 429"
    )
    max_pending_pages_per_tenant: int = Field(
        50_000, ge=1, description="pages of one tenant waiting before its submits get 429"
    )
    max_pending_mb: int = Field(
        20_000, ge=1, description="unfinished documents of the whole service, in MB"
    )
    max_pending_mb_per_tenant: int = Field(
        10_000, ge=1, description="unfinished documents of one tenant, in MB"
    )
    tenant_share: float = Field(
        0.5, gt=0, le=1,
        description="part of the running pages above which a tenant lets others go first",
    )  # fmt: skip
    window_pages: int = Field(
        32, ge=2, description="page images of one job that are made ahead of the engine"
    )
    max_waiters: int = Field(
        2500,
        ge=0,
        description="requests that one API process lets wait for jobs, or follow them; "
        "one tenant has at most half of them",
    )
    valkey_maxmemory_mb: int = Field(
        1024, ge=16, description="most memory of the embedded Valkey, in MB"
    )
    redis_memory_share: float = Field(
        0.75, gt=0, le=1, description="part of Redis's maxmemory above which nothing is accepted"
    )
    retention_days: float = Field(
        0, ge=0, description="jobs are deleted after this many days; 0 = kept; tenants can differ"
    )
    record_days: float = Field(
        7, gt=0, description="how long Redis keeps an ended job's record; the store keeps it anyway"
    )
    upload_hours: int = Field(
        24, ge=2, le=24 * 30, description="how long an upload can be submitted before it is removed"
    )
    tombstone_days: int = Field(
        30, ge=1, description="how long a deleted job is answered with 410 instead of 404"
    )

    sync_timeout_seconds: int = Field(
        120, ge=1, le=3600, description="longest synchronous wait; the work goes on after it"
    )
    page_timeout_seconds: int = Field(
        300, ge=1, description="longest time one attempt of one page may take"
    )
    lease_seconds: int = Field(
        15, ge=2, description="a page whose worker is silent this long is given to another"
    )
    heartbeat_seconds: float = Field(
        4.0, gt=0, description="how often a worker says that it is alive"
    )
    reconcile_seconds: float = Field(
        2.0, gt=0, description="how often the reconciler looks for lost work"
    )
    stop_check_seconds: float = Field(
        0.5, gt=0, description="how often a worker asks whether its pages were cancelled"
    )
    drain_seconds: int = Field(
        10, ge=1, description="how long a stopping worker reads on before it hands its pages back"
    )
    max_attempts: int = Field(3, ge=1, le=20, description="attempts of one page")

    calibration_file: str = Field(
        "",
        description="tables of 'casola-ocr calibrate' that win over the shipped ones; empty = none",
    )

    fetch_timeout_seconds: int = Field(
        60, ge=1, description="longest download of a client's URL, redirects included"
    )
    fetch_max_redirects: int = Field(3, ge=0, le=20, description="redirects of a client's URL")
    fetch_allow_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="private networks (CIDR, comma separated) from which URLs may be downloaded",
    )
    webhook_timeout_seconds: float = Field(
        15, gt=0, le=120, description="longest time one request to a webhook's receiver may take"
    )
    webhook_pause_seconds: float = Field(
        5, gt=0, le=3600,
        description="pause before a webhook is sent again; each later one is four times as long, "
        "at most 8 hours: ten tries in about a day",
    )  # fmt: skip
    webhook_slots: int = Field(
        16, ge=4, le=256,
        description="webhooks that a reconciler sends at once; a quarter of them to one host",
    )  # fmt: skip
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="log level")

    @field_validator("engines", "fetch_allow_networks", "tls_names", "cors_origins", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return _split(value)

    @field_validator("fetch_allow_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError("must be networks such as 10.0.0.0/8, comma separated") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("must be origins such as https://example.com, comma separated")
        return value

    @field_validator("tls_key")
    @classmethod
    def _key_of(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("tls_cert"):
            raise ValueError("is the key of CASOLA_TLS_CERT, which is not set")
        return value

    @field_validator("vllm_args")
    @classmethod
    def _json_object(cls, value: str) -> str:
        try:
            arguments = json.loads(value)
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ValueError('must be a JSON object such as {"enforce_eager": true}')
        return value

    @field_validator("object_store")
    @classmethod
    def _store_scheme(cls, value: str) -> str:
        if value and not value.startswith(("s3://", "file:///")):
            raise ValueError("must start with s3:// or file:///")
        return value

    @property
    def max_file_bytes(self) -> int:
        return self.max_file_mb * 1_000_000

    @property
    def max_request_file_bytes(self) -> int:
        return self.max_request_file_mb * 1_000_000

    @property
    def record_seconds(self) -> int:
        """How long the record of an ended job is kept."""
        return int(self.record_days * 86_400)

    @property
    def loopback(self) -> bool:
        """Whether the API listens on this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def uses_tls(self) -> bool:
        """Whether the API answers by https."""
        return self.tls or bool(self.tls_cert)

    @property
    def store_url(self) -> str:
        """The object store as a URL, the default filled in."""
        return self.object_store or (self.data_dir.resolve() / "objects").as_uri()

    @property
    def search_folder(self) -> Path:
        """Where the index of texts is, the default filled in."""
        return Path(self.search_dir) if self.search_dir else self.data_dir / "search"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads ``NAME_FILE`` for every secret: the way containers hand out secrets."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        if field.annotation is not SecretStr:
            return None, field_name, False
        variable = variable_name(field_name) + "_FILE"
        path = os.environ.get(variable)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise ConfigurationError(
                f"{variable}: cannot read the file ({error.strerror})"
            ) from error

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


def variable_name(field: str) -> str:
    """The environment variable of a setting's field."""
    return field.upper() if field.startswith("aws_") else _PREFIX + field.upper()


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; `overrides` (a command's flags) win over it, ``None`` means unset.

    Raises:
        ConfigurationError: a value cannot be parsed; the detail names every such setting.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(
            f"{variable_name(str(problem['loc'][0]).lower())}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(problems) from error


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, to start a child process with exactly these."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, tuple):
            value = ",".join(value)
        if value != "":
            values[variable_name(name)] = str(value)
    return values


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """One sentence for each ``CASOLA_*`` variable that no setting reads: mostly typing errors."""
    known = {variable_name(name) for name in Settings.model_fields} | _OTHER
    known |= {
        variable_name(name) + "_FILE"
        for name, field in Settings.model_fields.items()
        if field.annotation is SecretStr
    }
    found = []
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            found.append(f"{variable} is not a setting and was ignored{hint}")
    return found
