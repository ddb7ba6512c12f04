"""Job records on Redis or Valkey."""

from casola_ocr.records.redis import BatchRecord, Hints, Limits, Records, Settled, Swept, Taken
from casola_ocr.records.rows import Registration

__all__ = ["BatchRecord", "Hints", "Limits", "Records", "Registration", "Settled", "Swept", "Taken"]
