"""The service that belongs to the running Flask application."""

from __future__ import annotations

from typing import cast

from flask import current_app

from casola_ocr.dead import DeadLetters
from casola_ocr.errands import Errands
from casola_ocr.exports.exporter import Exporter
from casola_ocr.files import Files
from casola_ocr.jobs import Jobs
from casola_ocr.links import FileLinks
from casola_ocr.pictures import Pictures
from casola_ocr.service import Service
from casola_ocr.settings import Settings
from casola_ocr.sources import Sources
from casola_ocr.uploads import Uploads


def service() -> Service:
    return cast(Service, current_app.extensions["casola"])


def jobs() -> Jobs:
    return service().jobs


def dead() -> DeadLetters:
    return service().dead


def errands() -> Errands:
    return service().errands


def exports() -> Exporter:
    return service().exports


def files() -> Files:
    return service().files


def links() -> FileLinks:
    return service().links


def sources() -> Sources:
    return service().sources


def uploads() -> Uploads:
    return service().uploads


def pictures() -> Pictures:
    return service().pictures


def settings() -> Settings:
    return service().settings
