"""The Flask application, and the one that gunicorn starts."""

from __future__ import annotations

from celery import Celery
from flask import Flask, request

from api import problems
from api.dialects import fal, openai
from api.views import batches, dead, exports, health, jobs, library
from casola_ocr import logs
from casola_ocr.publisher import CeleryPublisher, celery_settings
from casola_ocr.service import Service
from casola_ocr.settings import Settings, load_settings

#: Files of the largest size that fit in one request.
FULL_FILES_PER_REQUEST = 16
#: Room in a JSON body for what is not the base64 of a file.
JSON_SLACK_BYTES = 64 * 1024

DIALECTS = {
    "/fal": fal.failed,
    "/queue/fal": fal.failed,
    "/openai/v1": openai.failed,
    "/v1": openai.failed,
}


def create_app(settings: Settings, service: Service) -> Flask:
    """The application around an opened service; makes no connection by itself."""
    app = Flask("casola_ocr", static_folder=None)
    app.extensions["casola"] = service
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_file_bytes * FULL_FILES_PER_REQUEST + 1_000_000
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_file_bytes * 2
    app.config["MAX_FORM_PARTS"] = settings.max_files_per_request + 100
    app.url_map.strict_slashes = False
    problems.install(app, DIALECTS)

    @app.before_request
    def limit_body() -> None:
        # Only files are spooled to disk: everything else is parsed in memory, and so is smaller.
        if request.mimetype != "multipart/form-data":
            request.max_content_length = settings.max_file_bytes * 4 // 3 + JSON_SLACK_BYTES

    for view in (jobs, batches, exports, library, dead, health):
        app.register_blueprint(view.blueprint)
    app.register_blueprint(fal.blueprint)
    for prefix in ("/openai/v1", "/v1"):
        app.register_blueprint(openai.blueprint, url_prefix=prefix, name=f"openai{prefix}")
    return app


def wsgi() -> Flask:
    """What ``casola-ocr api`` starts under gunicorn."""
    settings = load_settings()
    logs.configure(settings)
    app = Celery("casola-api")
    app.conf.update(celery_settings(settings.redis_url.get_secret_value()))
    return create_app(settings, Service.open(settings, CeleryPublisher(app)))
