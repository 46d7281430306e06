"""Blends in the console: what they consist of, and the rule in words wherever one is measured against."""

from typing import Any

import pytest
from django.test import Client

from analytics.models import BlendedBenchmark
from tests.support import factories as make
from tests.support.admin import change_url, client_of, make_reader, url_of

pytestmark = pytest.mark.django_db

RULE = "60 % SPX, 39.5 % AGG, 0.5 % GOLD, rebalanced on the first session of each quarter"


@pytest.fixture
def console() -> Client:
    return client_of(make.make_superuser())


@pytest.fixture
def blend() -> BlendedBenchmark:
    weights = {make.make_asset("GOLD"): "0.5", make.make_asset("SPX"): 60, make.make_asset("AGG"): "39.5"}
    blend = make.make_blend(weights, "MIX", rebalance_frequency="quarterly")
    blend.refresh_from_db()
    return blend


def page_of(client: Client, url: str) -> str:
    return client.get(url).content.decode()


def test_a_blend_is_shown_with_its_components_and_its_rule(console: Client, blend: BlendedBenchmark) -> None:
    assert RULE in page_of(console, url_of(blend, "changelist"))
    page = page_of(console, change_url(blend))
    assert RULE in page
    assert all(text in page for text in ("GOLD", "39.5%", "0.5%"))


def test_a_blend_is_found_by_a_component(console: Client, blend: BlendedBenchmark) -> None:
    def found(term: str) -> int:
        return console.get(url_of(blend, "changelist"), {"q": term}).context["cl"].result_count

    assert (found("AGG"), found("MIX"), found("DAX")) == (1, 1, 0)


def test_the_benchmark_page_and_list_say_the_rule(console: Client, blend: BlendedBenchmark) -> None:
    portfolio = make.make_portfolio()
    line = make.make_benchmark(portfolio, blend.asset)
    plain = make.make_benchmark(portfolio, make.make_asset())
    assert RULE in page_of(console, url_of(line, "changelist"))
    assert RULE in page_of(console, change_url(line))
    assert RULE not in page_of(console, change_url(plain))


def test_the_portfolio_page_says_what_it_is_measured_against(blend: BlendedBenchmark) -> None:
    reader = make_reader()
    portfolio = make.make_portfolio(owner=reader)
    make.make_benchmark(portfolio, make.make_asset("DAX"))
    make.make_benchmark(portfolio, make.make_asset("OLD"), is_active=False)
    make.make_benchmark(portfolio, blend.asset, is_primary=True)
    page = page_of(client_of(reader), change_url(portfolio))
    assert f"<div>MIX (primary): {RULE}</div><div>DAX</div>" in page
    assert "<div>OLD" not in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rebalance_frequency": "daily"}, "100 % ONE, rebalanced daily"),
        ({"rebalance_frequency": "none"}, "100 % ONE, bought once and held"),
        (
            {"rebalance_frequency": "none", "start_date": make.DAY},
            "100 % ONE, bought once and held, from 2024-03-28",
        ),
    ],
)
def test_rules_in_words(fields: dict[str, Any], words: str) -> None:
    blend = make.make_blend({make.make_asset("ONE"): 100}, **fields)
    blend.refresh_from_db()
    assert blend.rule == words
