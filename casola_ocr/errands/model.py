"""What an errand is, and how it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class ErrandStatus(StrEnum):
    """Where an errand stands; the words are OpenAI's."""

    #: The lines are being looked at; nothing of them has been submitted.
    VALIDATING = "validating"
    #: A line was not in order, so none was submitted.
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    #: Every line has ended; the files are being made.
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    #: Its time was over before every line had ended.
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        ends = (self.COMPLETED, self.FAILED, self.EXPIRED, self.CANCELLED)
        return self in ends


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What was asked for. Times are milliseconds since 1970."""

    #: ``batch_`` and a ULID, because clients know it as a batch.
    errand_id: str
    tenant: str
    #: To which every line goes, such as ``/v1/chat/completions``.
    endpoint: str
    #: IDs of the files with the lines; none = they came with the request.
    input_files: tuple[str, ...]
    #: For lines that name no model.
    model: str
    #: How long it may take, in the client's own words.
    window: str
    created_at: int
    #: When what has not ended is given up.
    deadline_at: int
    metadata: Mapping[str, str]
    #: Seconds that its files are kept; None = as the tenant's retention says.
    output_expires_in: int | None
    #: When the errand itself is removed; None = never.
    expires_at: int | None
    #: What was asked for, as a digest.
    fingerprint: str = ""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Errand:
        """Read what was stored; fields that a newer version added are ignored."""
        values = json.loads(data)
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        return cls(**{**known, "input_files": tuple(known["input_files"])})


@dataclass(frozen=True, kw_only=True)
class LineError:
    """Why the lines of an errand are not in order; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What came of some lines. Tokens are those of `casola_ocr.wire.openai_tokens`."""

    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            completed=self.completed + other.completed,
            failed=self.failed + other.failed,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """How an errand stands. Times are milliseconds since 1970, None = not yet."""

    status: ErrandStatus = ErrandStatus.VALIDATING
    #: Lines; 0 until they were looked at.
    total: int = 0
    counts: Counts = field(default_factory=Counts)
    #: Parts of which a line may have been submitted.
    opened: int = 0
    #: The model that all lines name; empty where they differ.
    model: str = ""
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    cancelling_at: int | None = None
    ended_at: int | None = None
    #: What is to be its status once the files are made.
    ending: ErrandStatus | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[LineError, ...] = ()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Report:
        """Read what was stored; fields that a newer version added are ignored."""
        values = json.loads(data)
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        known["status"] = ErrandStatus(known["status"])
        known["ending"] = ErrandStatus(known["ending"]) if known.get("ending") else None
        known["counts"] = Counts(**known["counts"])
        known["errors"] = tuple(LineError(**error) for error in known["errors"])
        return cls(**known)
