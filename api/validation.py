"""Query strings and bodies as pydantic models check them, their errors as ours.

A model is a `Query` or a `Body`; the text below a field is its description in the OpenAPI document.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from casola_ocr.errors import MalformedRequest

_Model = TypeVar("_Model", bound=BaseModel)
_Query = TypeVar("_Query", bound="Query")


class Query(BaseModel):
    """What a query string says: nothing unknown, and nothing twice but what is `repeated`."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    repeated: ClassVar[frozenset[str]] = frozenset()


class Body(BaseModel):
    """What a body says: nothing unknown, and every value of its own JSON type."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


def integer(value: object) -> object:
    """For a `BeforeValidator`: an integer as JSON Schema has it, of which 3.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def example(value: dict[str, Any]) -> ConfigDict:
    """The configuration of a `Body` with an example."""
    return ConfigDict(json_schema_extra={"examples": [value]})


def asked(record: type[_Query]) -> _Query:
    """The query string as a record.

    Raises:
        MalformedRequest: it is not; the detail names every field that is wrong.
    """
    values: dict[str, object] = {}
    for name, given in request.args.lists():
        if len(given) > 1 and name not in record.repeated:
            raise MalformedRequest(f"'{name}' is given more than once.", field=name)
        values[name] = given if name in record.repeated else given[0]
    return validated(record, values)


def validated(record: type[_Model], values: dict[str, Any]) -> _Model:
    """The values as a record.

    Raises:
        MalformedRequest: they are not; the detail names every field that is wrong.
    """
    try:
        return record.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"'{'.'.join(map(str, problem['loc']))}': {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise MalformedRequest(problems) from error
