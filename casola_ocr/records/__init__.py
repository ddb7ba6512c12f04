"""Job records on Redis or Valkey."""

from casola_ocr.records.redis import BatchRecord, Limits, Records, Settled, Swept, Taken, Wakes
from casola_ocr.records.rows import Registration

__all__ = ["BatchRecord", "Limits", "Records", "Registration", "Settled", "Swept", "Taken", "Wakes"]
