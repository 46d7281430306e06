"""The OpenAPI document and the pages that show it."""

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from tests.support.api import ANALYSES, API, REQUESTS, ROWS

DECISIONS = ("approve", "reject", "cancel", "execute")
SUMMARIES = {
    "PortfolioAnalyticsSummary",
    "PortfolioAllocationAnalysis",
    "PortfolioRiskAnalysis",
    "PortfolioPerformanceAnalysis",
    "PortfolioRebalancingRecommendation",
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Generating fails on any warning, and on a document that is not valid."""
    file = tmp_path_factory.mktemp("openapi") / "schema.yml"
    call_command("spectacular", file=str(file), validate=True, fail_on_warn=True)
    return yaml.safe_load(Path(file).read_text())


def test_it_is_openapi_3_1(document: dict) -> None:
    assert document["openapi"] == "3.1.0"
    assert "nullable" not in str(document)


def test_it_has_every_address(document: dict) -> None:
    addresses = {re.sub(r"\{\w+\}", "1", address) for address in document["paths"]}
    lists = {f"{API}{resource}/" for resource in ROWS}
    actions = {f"{API}portfolios/1/{action}/" for action in (*ANALYSES, *REQUESTS)}
    actions |= {f"{API}rebalancing-events/1/{action}/" for action in (*DECISIONS, "evidence-pack")}
    assert addresses == lists | {f"{address}1/" for address in lists} | actions


def test_the_analyses_have_their_names(document: dict) -> None:
    assert set(document["components"]["schemas"]) >= SUMMARIES
    named = set()
    for action in ANALYSES:
        answers = document["paths"][f"{API}portfolios/{{code}}/{action}/"]["get"]["responses"]
        named.add(answers["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2])
    assert named == SUMMARIES


def test_decimals_are_strings_and_statistics_numbers(document: dict) -> None:
    fields = document["components"]["schemas"]["PerformanceHistory"]["properties"]
    assert fields["total_value"]["type"] == ["string", "null"]
    assert fields["sharpe_ratio"]["type"] == ["number", "null"]


def test_every_operation_may_answer_with_a_problem(document: dict) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            content = operation["responses"]["default"]["content"]
            assert content["application/problem+json"]["schema"]["$ref"] == "#/components/schemas/Problem"


def test_requests_are_answered_with_202(document: dict) -> None:
    for action in REQUESTS:
        assert set(document["paths"][f"{API}portfolios/{{code}}/{action}/"]["post"]["responses"]) == {
            "202",
            "default",
        }


def test_decisions_take_the_key_of_their_caller(document: dict) -> None:
    for action in DECISIONS:
        operation = document["paths"][f"{API}rebalancing-events/{{id}}/{action}/"]["post"]
        headers = [entry["name"] for entry in operation["parameters"] if entry["in"] == "header"]
        assert headers == ["Idempotency-Key"]
        assert set(operation["responses"]) == {"200", "default"}


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_the_pages_load_nothing_from_other_hosts(client: Client, page: str) -> None:
    text = client.get(f"{API}{page}/").content.decode()
    if page == "docs":  # what would stand in the page is a script of its own, as the security policy asks for
        text += client.get(f"{API}{page}/", {"script": ""}).content.decode()
    assert f"{API}schema/" in text
    assert "drf_spectacular_sidecar" in text
    assert re.findall(r"""["'](?:https?:)?//[^"']+""", text) == []
