"""Bodies of requests as the models that describe them."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from casola_ocr.errors import MalformedRequest

_Model = TypeVar("_Model", bound=BaseModel)


def parsed(model: type[_Model], body: dict[str, Any]) -> _Model:
    """The body as what the model describes.

    Raises:
        MalformedRequest: it is not; `field` names the first wrong part, with dots, `kind` how it is
            wrong, in pydantic's words, and `others` are the other wrong parts.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        told = [(one["msg"], ".".join(map(str, one["loc"])), one["type"]) for one in found]
        (first, field, kind), *rest = told
        others = [MalformedRequest(msg, field=at, kind=how) for msg, at, how in rest]
        raise MalformedRequest(first, field=field, kind=kind, others=others) from error
