"""The service that belongs to the running Flask application."""

from __future__ import annotations

from typing import cast

from flask import current_app

from casola_ocr.dead import DeadLetters
from casola_ocr.exports.exporter import Exporter
from casola_ocr.jobs import Jobs
from casola_ocr.service import Service
from casola_ocr.settings import Settings


def service() -> Service:
    return cast(Service, current_app.extensions["casola"])


def jobs() -> Jobs:
    return service().jobs


def dead() -> DeadLetters:
    return service().dead


def exports() -> Exporter:
    return service().exports


def settings() -> Settings:
    return service().settings
