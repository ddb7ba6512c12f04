"""Logs: one JSON object a line on standard error, a sentence for people and fields for machines.

Never in a log: document bytes, text, URLs of clients, tokens.
"""

from __future__ import annotations

import logging
import sys

import structlog

from casola_ocr.settings import Settings


def configure(settings: Settings) -> None:
    """Set up logging of this process, once, at its start."""
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )
    # Libraries tell only what an operator has to know.
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
