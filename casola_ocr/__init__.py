"""The domain of Casola OCR: jobs, pages, text and confidence. No Flask, no Celery, no engine."""

from importlib.metadata import version

__version__ = version("casola-ocr")
