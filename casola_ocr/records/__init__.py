"""Job records: what every job and page is doing now. See `redis.Records`."""

from casola_ocr.records.redis import LostStep, Records, Refused, Registration

__all__ = ["LostStep", "Records", "Refused", "Registration"]
