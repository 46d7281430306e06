"""A request id on every answer, log line and audit row of one request."""

import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}")
_current: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    return _current.get()


class RequestIdMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get(HEADER, "")
        identifier = offered if _ACCEPTABLE.fullmatch(offered) else uuid.uuid4().hex
        token = _current.set(identifier)
        try:
            response = self.get_response(request)
        finally:
            _current.reset(token)
        response[HEADER] = identifier
        return response
