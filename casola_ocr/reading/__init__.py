"""The commands that send documents through a running server."""

from casola_ocr.reading.calibrate import calibrate
from casola_ocr.reading.command import read

__all__ = ["calibrate", "read"]
