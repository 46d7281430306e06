from typing import Any

import pytest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from portfolio_site.kernel.errors import problem_handler
from tests.support.api import API, PROBLEM, client_of, list_url, pointers
from tests.support.factories import make_user


def problem_of(error: Exception) -> Response:
    response = problem_handler(error, {})
    assert response is not None
    assert response.content_type == PROBLEM
    assert response.data["status"] == response.status_code
    return response


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (exceptions.ParseError("JSON parse error"), 400, "Bad Request"),
        (exceptions.NotAuthenticated(), 401, "Unauthorized"),
        (exceptions.PermissionDenied(), 403, "Forbidden"),
        (DjangoPermissionDenied(), 403, "Forbidden"),
        (exceptions.NotFound(), 404, "Not Found"),
        (Http404("no such row"), 404, "Not Found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "Method Not Allowed"),
        (exceptions.UnsupportedMediaType("text/csv"), 415, "Unsupported Media Type"),
        (exceptions.Throttled(wait=7), 429, "Too Many Requests"),
    ],
)
def test_what_rest_framework_knows_becomes_a_problem(error: Exception, status: int, title: str) -> None:
    problem = problem_of(error).data
    assert problem == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": problem["detail"],
        "errors": [],
    }
    assert problem["detail"]


def test_throttling_says_when_to_come_back() -> None:
    assert problem_of(exceptions.Throttled(wait=7))["Retry-After"] == "7"


@pytest.mark.parametrize(
    ("detail", "errors"),
    [
        ("Not now.", [("#", "Not now.")]),
        ({"date": ["Bad day.", "Worse day."]}, [("#/date", "Bad day."), ("#/date", "Worse day.")]),
        ({"non_field_errors": ["Do not match."]}, [("#", "Do not match.")]),
        ({"lines": [{}, {"price": ["Too low."]}]}, [("#/lines/1/price", "Too low.")]),
        ({"only": {1: ["Unknown."]}}, [("#/only/1", "Unknown.")]),
        ({"line": {"non_field_errors": ["Both."]}}, [("#/line", "Both.")]),
        ({"a/b": {"c~d": ["Odd."]}}, [("#/a~1b/c~0d", "Odd.")]),
    ],
)
def test_every_message_points_to_its_field(detail: Any, errors: list[tuple[str, str]]) -> None:
    problem = problem_of(exceptions.ValidationError(detail)).data
    assert [(error["pointer"], error["detail"]) for error in problem["errors"]] == errors
    assert problem["detail"] == "The request is not valid."


def test_a_models_own_validation_is_a_bad_request() -> None:
    response = problem_of(DjangoValidationError({"code": ["Taken."]}))
    assert response.status_code == 400
    assert response.data["errors"] == [{"detail": "Taken.", "pointer": "#/code"}]


def test_the_unexpected_is_left_to_django() -> None:
    assert problem_handler(RuntimeError("broken"), {}) is None


@pytest.mark.django_db
def test_an_unknown_address_is_a_problem() -> None:
    client = client_of(make_user())
    for method in (client.get, client.post, client.delete):
        response = method(f"{API}nothing/here/")
        assert response.status_code == 404
        assert pointers(response) == []


@pytest.mark.django_db
def test_an_address_without_its_slash_is_led_on() -> None:
    response = client_of(make_user()).get(f"{API}assets")
    assert response.status_code == 301
    assert response["Location"] == list_url("assets")


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_reading_is_all_that_is_allowed(method: str) -> None:
    response = getattr(client_of(make_user()), method)(list_url("assets"), {}, format="json")
    assert response.status_code == 405
    assert "GET" in response["Allow"]
    assert pointers(response) == []


@pytest.mark.django_db
def test_another_format_is_refused() -> None:
    response = client_of(make_user()).get(list_url("assets"), HTTP_ACCEPT="text/csv")
    assert response.status_code == 406
    assert pointers(response) == []
