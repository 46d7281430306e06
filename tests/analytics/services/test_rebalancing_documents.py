"""What is stored of a proposal: its trades with their costs, and the inputs from which it follows again."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest

from analytics.calculations.rebalancing import Proposal
from analytics.models import (
    EventType,
    PortfolioAllocation,
    ProposalGear,
    ProposalVersion,
    RebalancingEvent,
    RebalancingPolicy,
)
from analytics.services import proposal_documents as documents
from analytics.services import rebalancing_recommendation
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    rebalancing_recommend,
)
from analytics.services.tax_review import TaxReview
from analytics.services.triggers import Trigger
from portfolios.models import Asset, Portfolio, PriceBar
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
DAY_BEFORE = DAY - dt.timedelta(days=1)
ASKED = Trigger(EventType.MANUAL, {})


@pytest.fixture
def portfolio() -> Portfolio:
    """10,000 dollars: 60 shares of AAA at 100, 10 of BBB at 200 (160 euros), 2,000 in cash; 50, 40, 10."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user())
    make.make_transaction(portfolio, kind="deposit", amount=10000, trade_date=DAY_BEFORE)
    make.make_exchange_rate("EUR", "USD", DAY_BEFORE, Decimal("1.25"))
    for symbol, currency, price, quantity, target in (
        ("AAA", "USD", 100, 60, 50),
        ("BBB", "EUR", 160, 10, 40),
    ):
        asset = make.make_asset(symbol, currency=currency, sector="Tools")
        for day in (DAY_BEFORE, DAY):
            make.make_price(asset, day, close=Decimal(price))
        paid = price * quantity * (1 if currency == "USD" else Decimal("1.25"))
        make.make_transaction(
            portfolio, kind="buy", asset=asset, quantity=quantity, price=paid / quantity, amount=paid,
            trade_date=DAY_BEFORE,
        )  # fmt: skip
        make.make_allocation(portfolio, asset, target, rebalance_threshold=5)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", cash_target_percentage=10)
    return portfolio


def set_policy(portfolio: Portfolio, **changes: Any) -> None:
    RebalancingPolicy.objects.filter(portfolio=portfolio).update(**changes)


def stored(portfolio: Portfolio, found: Recommendation | None = None) -> RebalancingEvent:
    event_propose(found or rebalancing_recommend(portfolio, DAY), ASKED, actor=portfolio.owner)
    return RebalancingEvent.objects.get()


def read_again(version: ProposalVersion) -> bytes:
    """The proposal that follows from the inputs as another program would read them."""
    inputs = json.loads(json.dumps(version.inputs))
    return documents.document_bytes(documents.proposal_from_inputs(inputs))


def test_a_trade_says_what_it_costs_and_where_its_price_comes_from(portfolio: Portfolio) -> None:
    set_policy(portfolio, fee_per_trade=2, cost_rate="0.001", spread_rate="0.0005", fx_cost_rate="0.002")
    event = stored(portfolio)
    sell, buy = event.actions
    aaa, bbb = Asset.objects.get(symbol="AAA"), Asset.objects.get(symbol="BBB")
    assert (sell["asset"], sell["side"], sell["quantity"], sell["amount"]) == (aaa.pk, "sell", "10", "1000")
    assert sell["costs"] == {"commission": "1", "spread": "0.5", "impact": "0", "fx": "0", "fee": "2"}
    assert (sell["cost"], sell["price"], sell["currency"]) == ("3.5", "100", "USD")
    assert (buy["asset"], buy["price"], buy["local_price"], buy["currency"]) == (bbb.pk, "200", "160", "EUR")
    assert buy["costs"]["fx"] == "4"
    assert event.estimated_cost == sum(Decimal(action["cost"]) for action in event.actions)
    line = next(entry for entry in ProposalVersion.objects.get().inputs["lines"] if entry["symbol"] == "BBB")
    bar = PriceBar.objects.get(asset=bbb, date=DAY)
    assert line["price_source"] == {"bar": bar.pk, "date": DAY.isoformat()}
    assert (line["rate"], line["rate_date"]) == ("1.25", DAY_BEFORE.isoformat())


def test_the_first_version_is_kept_with_the_event(portfolio: Portfolio) -> None:
    event = stored(portfolio)
    version = ProposalVersion.objects.get()
    assert (version.event, version.version, version.created_by) == (event, 1, portfolio.owner)
    assert version.proposal_hash == event.proposal_hash
    assert documents.document_hash(version.inputs, version.proposal) == event.proposal_hash
    assert version.proposal["actions"] == event.actions


@pytest.mark.parametrize("mode", ["full", "bands", "invest_cash"])
def test_from_the_stored_inputs_comes_the_same_proposal_byte_for_byte(
    portfolio: Portfolio, mode: str
) -> None:
    set_policy(portfolio, mode=mode, cost_rate="0.0015", improvement_share="0.5")
    stored(portfolio)
    version = ProposalVersion.objects.get()
    assert read_again(version) == documents.document_bytes(version.proposal)
    changed = json.loads(json.dumps(version.inputs))
    changed["lines"][1]["line"]["target"] = "0.3"
    assert documents.proposal_from_inputs(changed) != version.proposal


def test_the_answer_of_a_search_that_proves_nothing_is_one_of_the_inputs(portfolio: Portfolio) -> None:
    set_policy(portfolio, proven_lines=0, cost_rate="0.0015")
    event = stored(portfolio, rebalancing_recommend(portfolio, DAY, gear=ProposalGear.FAST))
    version = ProposalVersion.objects.get()
    assert version.inputs["answer"]["trades"] == {"AAA": "-10", "BBB": "10"}
    assert (event.gear, event.needs_review) == ("fast", True)
    assert event.optimality_gap is not None
    assert event.distance_bound is not None
    assert any(text.startswith("not proven") for text in event.warnings)
    assert read_again(version) == documents.document_bytes(version.proposal)


def test_a_proposal_that_costs_more_than_it_may_is_refused(portfolio: Portfolio) -> None:
    set_policy(portfolio, fee_per_trade=30, cost_limit="0.005")
    found = rebalancing_recommend(portfolio, DAY)
    assert (found.status, found.codes, found.trades) == ("blocked", (documents.COST,), ())
    answer = found.as_json()
    assert (answer["actions"], answer["cash_after"], answer["estimated_cost"]) == ([], "2000.00", "0.00")
    assert {line["symbol"] for line in answer["skipped"]} == {"AAA", "BBB"}
    with pytest.raises(ValueError, match="only a proposal that is ready"):
        stored(portfolio, found)
    set_policy(portfolio, cost_limit="0.007")
    assert rebalancing_recommend(portfolio, DAY).status == "ready"


def test_reserve_and_smallest_trade_are_the_larger_of_amount_and_share(portfolio: Portfolio) -> None:
    set_policy(portfolio, cash_reserve=100, cash_reserve_percentage=15, minimum_trade=10,
               minimum_trade_percentage=11)  # fmt: skip
    found = rebalancing_recommend(portfolio, DAY)
    assert found.rules
    assert (found.rules.reserve, found.rules.minimum_trade) == (1500, 1100)
    assert found.proposal
    assert found.proposal.cash_after >= 1500
    set_policy(portfolio, cash_reserve=1700, minimum_trade=1200)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.rules
    assert (found.rules.reserve, found.rules.minimum_trade) == (1700, 1200)


def test_the_inner_edge_is_a_fraction_of_the_band(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(rebalance_threshold=None)
    for fraction, sold in (("0", 10), ("0.6", 7), ("1", 5)):
        set_policy(portfolio, mode="bands", band_destination="inner", inner_band_fraction=fraction)
        (trade,) = rebalancing_recommend(portfolio, DAY).trades
        assert (trade.symbol, trade.side, trade.quantity) == ("AAA", "sell", sold)


def test_unknown_market_impact_needs_a_look(portfolio: Portfolio) -> None:
    set_policy(portfolio, impact_coefficient=1)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.status == "needs_review"
    assert "AAA: market impact unknown: no volume or volatility" in found.warnings
    event = stored(portfolio, found)
    assert event.needs_review
    assert event.actions[0]["warnings"] == ["market impact unknown: no volume or volatility"]


def test_market_impact_follows_the_root_of_the_traded_share(portfolio: Portfolio) -> None:
    """0.5 x daily volatility 0.01 x sqrt(1,000 / 100,000), times the 1,000 that are sold: 0.50."""
    aaa = Asset.objects.get(symbol="AAA")
    PriceBar.objects.filter(asset=aaa).delete()
    for back in range(20):
        make.make_price(aaa, DAY - dt.timedelta(days=back), close=Decimal(100), volume=1000)
    make.make_asset_metrics(aaa, DAY, volatility_20d=0.01 * 252**0.5)
    set_policy(portfolio, impact_coefficient="0.5")
    found = rebalancing_recommend(portfolio, DAY)
    assert found.document["actions"][0]["costs"]["impact"] in ("0.5", "0.51")  # rounded up to the cent
    assert found.document["actions"][0]["warnings"] == []


def test_a_price_that_is_nearly_stale_needs_a_look(portfolio: Portfolio) -> None:
    later = make.make_asset("CCC")
    make.make_price(later, DAY + dt.timedelta(days=6))
    make.make_benchmark(portfolio, later)
    make.make_exchange_rate("EUR", "USD", DAY + dt.timedelta(days=6), Decimal("1.25"))
    found = rebalancing_recommend(portfolio, DAY + dt.timedelta(days=6))
    assert found.status == "needs_review"
    assert "AAA: the price is 6 days old" in found.warnings


def test_a_small_line_without_a_good_price_is_left_as_it_is(portfolio: Portfolio) -> None:
    """Its share is within the guard, so the rest is proposed."""
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(target_percentage=36)
    make.make_allocation(portfolio, make.make_asset("NEW"), 4)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.status == "needs_review"
    assert "NEW: no price in USD: it is left as it is" in found.warnings
    assert {trade.symbol for trade in found.trades} == {"AAA", "BBB"}
    assert {"symbol": "NEW", "reason": "no price in USD"} in found.as_json()["skipped"]
    PortfolioAllocation.objects.filter(asset__symbol="NEW").update(target_percentage=6)
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(target_percentage=34)
    found = rebalancing_recommend(portfolio, DAY)
    assert (found.status, found.codes) == ("blocked", (documents.PRICE_GUARD,))
    assert found.reasons == ("NEW: no price in USD",)


def test_hold_proposes_nothing_but_tells_of_every_line(portfolio: Portfolio) -> None:
    found = rebalancing_recommend(portfolio, DAY, PolicyOverrides(mode="hold"))
    assert (found.status, found.trades) == ("in_balance", ())
    assert [line["symbol"] for line in found.as_json()["skipped"]] == ["AAA", "BBB"]


def test_liquidating_sells_what_has_no_target_and_nothing_else(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(is_active=False)
    found = rebalancing_recommend(portfolio, DAY, PolicyOverrides(mode="liquidate"))
    assert [(trade.symbol, trade.side, trade.quantity) for trade in found.trades] == [("BBB", "sell", 10)]


def test_every_line_of_the_target_has_an_outcome(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="BBB").update(target_percentage=36)
    make.make_allocation(portfolio, make.make_asset("NEW"), 4)
    event = stored(portfolio)
    assert [outcome["symbol"] for outcome in event.outcomes] == ["AAA", "BBB", "NEW"]
    assert all(outcome["reason"] for outcome in event.outcomes)


def test_what_fails_the_check_is_never_stored(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rebalancing_recommend(portfolio, DAY)
    assert isinstance(found.proposal, Proposal)
    first = found.proposal.trades[0]
    object.__setattr__(
        found.proposal, "trades", (first.__class__(**{**vars(first), "quantity": Decimal(99)}),)
    )
    with pytest.raises(ValueError, match="sells 99 but holds 60"):
        event_propose(found, ASKED)
    assert not RebalancingEvent.objects.exists()
    assert not ProposalVersion.objects.exists()


def test_what_the_tax_review_forbids_is_barred_and_the_rest_proposed(
    portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    aaa = Asset.objects.get(symbol="AAA")

    def wash_sale(cases: Any, day: dt.date, books: Any) -> list[TaxReview]:
        sold = [any(trade.asset_id == aaa.pk and trade.side == "sell" for trade in c[2]) for c in cases]
        return [TaxReview(blocked={aaa.pk: "wash sale"} if found else {}) for found in sold]

    monkeypatch.setattr(rebalancing_recommendation, "tax_reviews", wash_sale)
    event = stored(portfolio)
    assert [(action["symbol"], action["side"]) for action in event.actions] == [("BBB", "buy")]
    held = next(outcome for outcome in event.outcomes if outcome["symbol"] == "AAA")
    assert held["barrier"] == "wash sale"
    version = ProposalVersion.objects.get()
    assert version.inputs["barred"] == [[aaa.pk, "sell", "wash sale"]]
    assert read_again(version) == documents.document_bytes(version.proposal)


def test_a_sale_names_its_lots_and_its_tax(portfolio: Portfolio) -> None:
    set_policy(portfolio, short_term_tax_rate="0.2")
    PriceBar.objects.filter(asset__symbol="AAA", date=DAY).update(close=150)
    event = stored(portfolio)
    sale = next(action for action in event.actions if action["symbol"] == "AAA")
    opening = portfolio.transactions.get(asset__symbol="AAA")
    assert [lot["lot"] for lot in sale["lots"]] == [opening.pk]
    assert sum(Decimal(lot["quantity"]) for lot in sale["lots"]) == Decimal(sale["quantity"])
    expected = Decimal(sale["quantity"]) * 50 * Decimal("0.2")
    assert (Decimal(sale["tax"]), event.estimated_tax) == (expected, expected)
