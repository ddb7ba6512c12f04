"""Job records on Redis or Valkey."""

from casola_ocr.records.events import StreamEvent
from casola_ocr.records.redis import (
    RESERVED_MS,
    BatchRecord,
    Hints,
    Limits,
    Records,
    Settled,
    Standing,
    Swept,
    Taken,
)
from casola_ocr.records.rows import Registration

__all__ = [
    "RESERVED_MS",
    "BatchRecord",
    "Hints",
    "Limits",
    "Records",
    "Registration",
    "Settled",
    "Standing",
    "StreamEvent",
    "Swept",
    "Taken",
]
