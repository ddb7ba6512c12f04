"""The Flask application, and the one that gunicorn starts."""

from __future__ import annotations

from celery import Celery
from flask import Flask, request

from api import cors, problems, studio
from api.dialects import (
    fal,
    fal_files,
    fal_proxy,
    fal_queue,
    mistral,
    mistral_batches,
    mistral_files,
    openai,
    openai_batches,
    openai_chat,
    openai_files,
    openai_responses,
)
from api.json_provider import JsonProvider
from api.views import (
    admin,
    batches,
    dead,
    events,
    exports,
    files,
    health,
    jobs,
    library,
    pictures,
    reference,
    status,
    uploads,
    webhooks,
)
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
    "/fal-ai": fal.failed,
    "/queue": fal.failed,
    "/openai/v1": openai.failed,
    "/v1": openai.failed,
    "/mistral/v1": mistral.failed,
}


def create_app(settings: Settings, service: Service) -> Flask:
    """The application around an opened service; makes no connection by itself."""
    app = Flask("casola_ocr", static_folder=None)
    app.extensions["casola"] = service
    app.json = JsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_file_bytes * FULL_FILES_PER_REQUEST + 1_000_000
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_file_bytes * 2
    app.config["MAX_FORM_PARTS"] = settings.max_files_per_request + 100
    app.url_map.strict_slashes = False
    problems.install(app, DIALECTS)
    cors.install(app, settings)
    app.wsgi_app = fal_proxy.ProxyDispatcher(app.wsgi_app)  # type: ignore[method-assign]

    @app.before_request
    def limit_body() -> None:
        # Only files are spooled to disk: everything else is parsed in memory, and so is smaller.
        if request.mimetype != "multipart/form-data":
            request.max_content_length = settings.max_file_bytes * 4 // 3 + JSON_SLACK_BYTES

    for view in (
        jobs,
        events,
        batches,
        exports,
        pictures,
        library,
        dead,
        health,
        admin,
        status,
        uploads,
        files,
        reference,
        webhooks,
        studio,
    ):
        app.register_blueprint(view.blueprint)
    for blueprint in (webhooks.public, uploads.receiver):
        app.register_blueprint(blueprint)
    for dialect in (fal, fal_queue, fal_files, fal_proxy, mistral, mistral_files, mistral_batches):
        app.register_blueprint(dialect.blueprint)
    for prefix in ("/openai/v1", "/v1"):
        for part in (openai, openai_chat):
            name = f"{part.blueprint.name}{prefix}"
            app.register_blueprint(part.blueprint, url_prefix=prefix, name=name)
        for part, folder in (
            (openai_files, "files"),
            (openai_batches, "batches"),
            (openai_responses, "responses"),
        ):
            name = f"{part.blueprint.name}{prefix}"
            app.register_blueprint(part.blueprint, url_prefix=f"{prefix}/{folder}", name=name)
    return app


def wsgi() -> Flask:
    """What ``casola-ocr api`` starts under gunicorn."""
    settings = load_settings()
    logs.configure(settings)
    app = Celery("casola-api")
    app.conf.update(celery_settings(settings.redis_url.get_secret_value()))
    return create_app(settings, Service.open(settings, CeleryPublisher(app)))
