"""Every declared filter is tried: with a value that only one of two rows has, and with one that is none."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django_filters import OrderingFilter
from django_filters.rest_framework import FilterSet
from rest_framework.test import APIClient

from portfolios.models import Portfolio
from tests.support.api import list_url, pointers


def key_of(row: Model | Mapping[str, Any]) -> Any:
    if isinstance(row, Portfolio):
        return row.code
    if isinstance(row, Model):
        return row.pk
    return next(row[name] for name in ("id", "code", "sequence") if name in row)


def check_filters(
    client: APIClient,
    resource: str,
    filterset: type[FilterSet],
    values: Mapping[str, str],
    values_of_other: Mapping[str, str],
    wanted: Model,
    other: Model,
) -> None:
    """Together the values must name every filter of the set; each is one that only one of the rows has."""
    declared = {
        name for name, field in filterset.base_filters.items() if not isinstance(field, OrderingFilter)
    }
    assert values.keys() | values_of_other.keys() == declared
    everything = client.get(list_url(resource)).json()["results"]
    assert {key_of(row) for row in everything} >= {key_of(wanted), key_of(other)}
    for kept, dropped, queries in ((wanted, other, values), (other, wanted, values_of_other)):
        for name, value in queries.items():
            found = [key_of(row) for row in client.get(list_url(resource), {name: value}).json()["results"]]
            assert key_of(kept) in found, name
            assert key_of(dropped) not in found, name


def check_bad_values(client: APIClient, resource: str, filterset: type[FilterSet]) -> None:
    """No text field takes a NUL, and no other field takes it for a value of its own."""
    for name in filterset.base_filters:
        response = client.get(list_url(resource), {name: "\x00"})
        assert response.status_code == 400, name
        assert pointers(response) == [f"#/{name}"]


def check_ordering(client: APIClient, resource: str, filterset: type[FilterSet]) -> None:
    for name in filterset.base_filters["ordering"].param_map.values():
        upward = client.get(list_url(resource), {"ordering": name}).json()["results"]
        downward = client.get(list_url(resource), {"ordering": f"-{name}"}).json()["results"]
        values = [row[name] for row in upward]
        assert len(set(values)) > 1, f"{name} is the same everywhere"
        assert values == sorted(values)
        assert [row[name] for row in downward] == values[::-1]
    response = client.get(list_url(resource), {"ordering": "no_such_field"})
    assert response.status_code == 400
    assert pointers(response) == ["#/ordering"]
