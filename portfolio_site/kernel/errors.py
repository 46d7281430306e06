"""Errors of the REST interface as problem details (RFC 9457)."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.settings import api_settings
from rest_framework.views import APIView, exception_handler

PROBLEM_MEDIA_TYPE = "application/problem+json"

PROBLEM_SCHEMA = {
    "type": "object",
    "description": "Problem details (RFC 9457)",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail", "pointer"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer to the field; for a query parameter # and its name",
                    },
                },
            },
        },
    },
}


class Conflict(APIException):
    """What is asked for does not fit what has happened meanwhile; the text says what."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The request does not fit the present state."
    default_code = "conflict"


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's answer to an exception, told as a problem; what it does not know stays a 500."""
    if isinstance(error, DjangoValidationError):
        error = ValidationError(as_serializer_error(error))
    response = exception_handler(error, context)
    if response is None:
        return None
    errors: list[dict[str, str]] = []
    if isinstance(error, ValidationError):
        detail = "The request is not valid."
        errors = [
            {"detail": message, "pointer": pointer} for pointer, message in _field_errors(response.data, "#")
        ]
    else:
        detail = str(response.data["detail"])
    response.data = {
        "type": "about:blank",
        "title": HTTPStatus(response.status_code).phrase,
        "status": response.status_code,
        "detail": detail,
        "errors": errors,
    }
    response.content_type = PROBLEM_MEDIA_TYPE
    return response


def _field_errors(found: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every message of a nested error with the JSON pointer (RFC 6901) to what it is about."""
    if isinstance(found, dict):
        for name, inner in found.items():
            is_whole = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _field_errors(inner, pointer if is_whole else f"{pointer}/{_escape(str(name))}")
    elif isinstance(found, list):
        for position, inner in enumerate(found):
            yield from _field_errors(inner, pointer if isinstance(inner, str) else f"{pointer}/{position}")
    else:
        yield pointer, str(found)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


class UnknownAddress(APIView):
    """The last route of the interface: an address that does not exist is a problem too, not a page."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound


def document_problems(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """OpenAPI hook: every operation may answer with a problem."""
    result["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
    schema = {"$ref": "#/components/schemas/Problem"}
    answer = {"description": "Problem", "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = answer
    return result
