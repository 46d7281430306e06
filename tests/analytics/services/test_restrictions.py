"""Restrictions: who may set them, when they hold, and that no proposal goes against them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.calculations.rebalancing import Trade, propose
from analytics.models import (
    EventType,
    PortfolioAllocation,
    RebalancingEvent,
    RebalancingPolicy,
    TradingRestriction,
)
from analytics.selectors.restrictions import restrictions_on, visible_restrictions
from analytics.services import proposal_documents as documents
from analytics.services.allocation_analysis import AllocationState, decision_day
from analytics.services.rebalancing_events import ProposalFault, event_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    ProposalCase,
    Recommendation,
    portfolio_state,
    rebalancing_recommend,
)
from analytics.services.restrictions import restriction_add, restriction_change, restriction_lift
from analytics.services.trading_limits import restriction_faults
from analytics.services.triggers import Trigger
from portfolio_site.kernel import clock
from portfolios.models import Asset, AuditEvent, Portfolio, PortfolioRole, StaleMark
from tests.support import factories as make

pytestmark = pytest.mark.django_db
DAY = make.DAY
DAY_BEFORE = DAY - dt.timedelta(days=1)
A_DAY = dt.timedelta(days=1)


@pytest.fixture
def portfolio() -> Portfolio:
    """10,000: 60 AAA at 100, 10 BBB at 200, 2,000 in cash; wanted are 40, 30, 20 of CCC and 10 in cash."""
    portfolio = make.make_portfolio("HOME", owner=make.make_user("olga"))
    make.make_transaction(portfolio, kind="deposit", amount=10000, trade_date=DAY_BEFORE)
    held = (("AAA", 100, 60, 40, "Tools"), ("BBB", 200, 10, 30, "Tools"), ("CCC", 50, 0, 20, "Food"))
    for symbol, price, quantity, target, sector in held:
        asset = make.make_asset(symbol, sector=sector, issuer="Acme" if symbol != "BBB" else "Bolt")
        for day in (DAY_BEFORE, DAY):
            make.make_price(asset, day, close=Decimal(price))
        if quantity:
            make.make_transaction(
                portfolio, kind="buy", asset=asset, quantity=quantity, price=price,
                amount=price * quantity, trade_date=DAY_BEFORE,
            )  # fmt: skip
        make.make_allocation(portfolio, asset, target, rebalance_threshold=5)
    RebalancingPolicy.objects.create(portfolio=portfolio, mode="full", cash_target_percentage=10)
    return portfolio


def asset(symbol: str) -> Asset:
    return Asset.objects.get(symbol=symbol)


def restrict(portfolio: Portfolio | None, kind: str, symbol: str = "", **fields: Any) -> TradingRestriction:
    given: dict[str, Any] = {"starts_on": DAY, "reason": "house rule"} | fields
    if symbol:
        given["asset"] = asset(symbol)
    return restriction_add(portfolio, kind=kind, **given)


def trades(found: Recommendation) -> dict[str, int]:
    return {t.symbol: int(t.quantity) if t.side == "buy" else -int(t.quantity) for t in found.trades}


def outcome(found: Recommendation, symbol: str) -> dict[str, Any]:
    return next(line for line in found.document["outcomes"] if line["symbol"] == symbol)


def test_without_restrictions_every_line_reaches_its_target(portfolio: Portfolio) -> None:
    assert trades(rebalancing_recommend(portfolio, DAY)) == {"AAA": -20, "BBB": 5, "CCC": 40}


@pytest.mark.parametrize(
    ("kind", "symbol", "left"),
    [
        ("do_not_buy", "CCC", {"AAA": -20, "BBB": 5}),
        ("do_not_trade", "CCC", {"AAA": -20, "BBB": 5}),
        ("do_not_buy", "AAA", {"AAA": -20, "BBB": 5, "CCC": 40}),
        ("do_not_sell", "BBB", {"AAA": -20, "BBB": 5, "CCC": 40}),
        ("not_in_taxable", "CCC", {"AAA": -20, "BBB": 5}),
        ("not_in_deferred", "CCC", {"AAA": -20, "BBB": 5, "CCC": 40}),
    ],
)
def test_what_may_not_be_done_is_not_proposed(
    portfolio: Portfolio, kind: str, symbol: str, left: dict[str, int]
) -> None:
    restrict(portfolio, kind, symbol)
    found = rebalancing_recommend(portfolio, DAY)
    assert trades(found) == left
    if symbol not in left:
        assert "house rule" in outcome(found, symbol)["reason"]


def test_the_restricted_list_holds_for_every_portfolio(portfolio: Portfolio) -> None:
    restrict(None, "do_not_buy", sector="Food")
    found = rebalancing_recommend(portfolio, DAY)
    assert trades(found) == {"AAA": -20, "BBB": 5}
    assert found.document["unresolved"] == [{"category": "Food", "amount": "2000"}]
    assert found.is_storable


def test_nothing_sold_where_nothing_may_be_sold(portfolio: Portfolio) -> None:
    restrict(portfolio, "do_not_sell")
    found = rebalancing_recommend(portfolio, DAY)
    assert all(quantity > 0 for quantity in trades(found).values())
    assert found.proposal
    assert found.proposal.cash_after >= 0


@pytest.mark.parametrize(
    ("limits", "bought"),
    [
        ({"maximum": 10}, 20),
        ({"unit": "money", "maximum": 999}, 19),
        ({"unit": "units", "maximum": 7}, 7),
        ({"unit": "units", "minimum": 50}, 50),
        ({"minimum": 22}, 44),
    ],
)
def test_a_range_bounds_what_is_held_afterwards(
    portfolio: Portfolio, limits: dict[str, Any], bought: int
) -> None:
    restrict(portfolio, "range", "CCC", **limits)
    assert trades(rebalancing_recommend(portfolio, DAY))["CCC"] == bought


def test_a_group_counts_together(portfolio: Portfolio) -> None:
    """AAA and CCC are of one issuer: 60 % of the value would be wanted, 50 % may be held."""
    restrict(portfolio, "range", issuer="Acme", maximum=50)
    found = rebalancing_recommend(portfolio, DAY)
    assert found.proposal
    after = {o.symbol: o.weight_after for o in found.outcomes}
    assert after["AAA"] + after["CCC"] == Decimal("0.5")
    assert after["BBB"] == Decimal("0.3")


def test_a_group_outside_its_range_frees_its_lines_from_their_bands(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.update(rebalance_threshold=50)
    overrides = PolicyOverrides(mode="bands")
    assert rebalancing_recommend(portfolio, DAY, overrides).status == "in_balance"
    restrict(portfolio, "range", issuer="Acme", maximum=50)
    found = rebalancing_recommend(portfolio, DAY, overrides)
    after = {o.symbol: o.weight_after for o in found.outcomes}
    assert after["AAA"] + after["CCC"] <= Decimal("0.5")


def test_a_line_that_cannot_be_brought_back_stays_and_is_shown(portfolio: Portfolio) -> None:
    PortfolioAllocation.objects.filter(asset__symbol="AAA").update(max_percentage=45)
    restrict(portfolio, "do_not_sell", "AAA")
    found = rebalancing_recommend(portfolio, DAY)
    assert found.status == "needs_review"
    assert "AAA" not in trades(found)
    assert any(text.startswith("AAA: stays above its maximum") for text in found.warnings)


def test_restrictions_that_contradict_each_other_are_named(portfolio: Portfolio) -> None:
    restrict(portfolio, "range", "CCC", minimum=20)
    restrict(None, "range", "CCC", maximum=10)
    found = rebalancing_recommend(portfolio, DAY)
    assert (found.status, found.codes) == ("blocked", (documents.CONTRADICTION,))
    assert found.reasons == ("CCC: at least 20 % (house rule) contradicts at most 10 % (house rule)",)


def test_a_restriction_holds_from_its_first_to_its_last_day(portfolio: Portfolio) -> None:
    other = make.make_portfolio("OTHER")
    restriction = restrict(portfolio, "do_not_buy", "CCC", ends_on=DAY + A_DAY)
    for day, expected in ((DAY_BEFORE, []), (DAY, [restriction]), (DAY + A_DAY, [restriction])):
        assert restrictions_on(portfolio, day) == expected
    assert restrictions_on(portfolio, DAY + 2 * A_DAY) == []
    assert restrictions_on(other, DAY) == []


def test_fresh_prices_are_traded_under_the_restrictions_of_today() -> None:
    today = clock.today()
    assert decision_day(today - 3 * A_DAY) == today
    assert decision_day(DAY) == DAY
    assert decision_day(today + A_DAY) == today + A_DAY


def test_a_restriction_that_came_in_between_stops_the_proposal(portfolio: Portfolio) -> None:
    found = rebalancing_recommend(portfolio, DAY)
    restrict(portfolio, "do_not_buy", "CCC")
    with pytest.raises(ProposalFault, match="CCC: buy against do not buy"):
        event_propose(found, Trigger(EventType.MANUAL, {}))
    assert not RebalancingEvent.objects.exists()


def test_a_change_is_kept_with_its_audit_row_and_marks_the_portfolio(portfolio: Portfolio) -> None:
    make.make_performance(portfolio, run=make.make_run("HOME"))
    restriction = restriction_add(
        portfolio, actor=portfolio.owner, kind="range", asset=asset("CCC"), maximum=10, reason="mandate"
    )
    assert (restriction.owner, restriction.starts_on) == (portfolio.owner, clock.today())
    restriction_change(restriction, actor=portfolio.owner, maximum=Decimal(12), reason="new mandate")
    restriction_change(restriction, actor=portfolio.owner, maximum=Decimal(12))
    rows = list(AuditEvent.objects.filter(object_type="trading_restriction").order_by("sequence"))
    assert [(row.action, row.reason) for row in rows] == [
        ("restriction.added", "mandate"),
        ("restriction.changed", "new mandate"),
    ]
    assert rows[1].before
    assert rows[1].after
    assert (Decimal(rows[1].before["maximum"]), Decimal(rows[1].after["maximum"])) == (10, 12)
    assert StaleMark.objects.filter(portfolio=portfolio).exists()
    restriction.refresh_from_db()
    assert restriction.version == 2


def test_lifting_ends_it_yesterday_and_keeps_the_row(portfolio: Portfolio) -> None:
    today = clock.today()
    old = restrict(portfolio, "do_not_buy", "CCC")
    restriction_lift(old, reason="sold the company")
    assert TradingRestriction.objects.get().ends_on == today - A_DAY
    assert restrictions_on(portfolio, today) == []
    with pytest.raises(ValidationError, match="ended on"):
        restriction_lift(old, reason="again")
    from_today = restrict(portfolio, "do_not_buy", "CCC", starts_on=today)
    restriction_lift(from_today, reason="a mistake")
    assert restrictions_on(portfolio, today) == [from_today]
    assert restrictions_on(portfolio, today + A_DAY) == []
    to_come = restrict(portfolio, "do_not_buy", "CCC", starts_on=today + A_DAY)
    restriction_lift(to_come, reason="a mistake")
    assert TradingRestriction.objects.count() == 2
    assert AuditEvent.objects.filter(action="restriction.lifted").count() == 3


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "range"}, "maximum"),
        ({"kind": "do_not_buy", "maximum": 5}, "kind"),
        ({"kind": "range", "maximum": 101}, "maximum"),
        ({"kind": "range", "minimum": -1}, "minimum"),
        ({"kind": "range", "minimum": 5, "maximum": 4}, "minimum"),
        ({"kind": "range", "maximum": 5, "unit": "units", "sector": "Food"}, "unit"),
        ({"kind": "do_not_buy", "reason": " "}, "reason"),
        ({"kind": "never"}, "kind"),
        ({"kind": "do_not_buy", "ends_on": DAY_BEFORE}, "ends_on"),
        ({"kind": "do_not_buy", "symbol": "CCC", "issuer": "Acme"}, "asset"),
    ],
)
def test_a_bad_restriction_is_refused_by_field(
    portfolio: Portfolio, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        restrict(portfolio, **fields)
    assert set(refused.value.message_dict) == {field}
    assert not TradingRestriction.objects.exists()
    assert not AuditEvent.objects.exists()


def test_the_first_day_of_a_restriction_in_force_stays(portfolio: Portfolio) -> None:
    restriction = restrict(portfolio, "do_not_buy", "CCC")
    with pytest.raises(ValidationError, match="it began on"):
        restriction_change(restriction, starts_on=clock.today() + A_DAY)
    with pytest.raises(TypeError, match="no editable asset"):
        restriction_change(restriction, asset=asset("AAA"))
    restriction.refresh_from_db()
    assert (restriction.starts_on, restriction.version) == (DAY, 1)


def test_who_may_restrict(portfolio: Portfolio) -> None:
    maker, manager = make.make_user(), make.make_user()
    make.grant(maker, portfolio, PortfolioRole.MAKER)
    make.grant(manager, portfolio, PortfolioRole.MANAGER)
    fields: dict[str, Any] = {"kind": "do_not_buy", "asset": asset("CCC"), "reason": "house rule"}
    for actor, where in ((maker, portfolio), (manager, None)):
        with pytest.raises(PermissionDenied):
            restriction_add(where, actor=actor, **fields)
    assert not TradingRestriction.objects.exists()
    own = restriction_add(portfolio, actor=manager, **fields)
    everywhere = restriction_add(None, actor=make.make_superuser(), **fields)
    with pytest.raises(PermissionDenied):
        restriction_lift(everywhere, actor=manager, reason="no")
    with pytest.raises(PermissionDenied):
        restriction_change(own, actor=maker, reason="no", kind="do_not_trade")
    stranger = make.make_user()
    assert set(visible_restrictions(manager)) == {own, everywhere}
    assert set(visible_restrictions(stranger)) == {everywhere}
    assert set(visible_restrictions(make.make_auditor())) == {own, everywhere}


RULES = st.lists(
    st.tuples(
        st.sampled_from(["do_not_buy", "do_not_sell", "do_not_trade", "range", "not_in_taxable"]),
        st.sampled_from(["AAA", "BBB", "CCC", "issuer", "sector", "all"]),
        st.sampled_from(["percent", "money", "units"]),
        st.one_of(st.none(), st.integers(0, 60)),
        st.one_of(st.none(), st.integers(10, 90)),
    ),
    max_size=4,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(rules=RULES, mode=st.sampled_from(["full", "bands", "invest_cash", "raise_cash", "liquidate"]))
def test_no_restrictions_are_ever_violated(portfolio: Portfolio, rules: list[Any], mode: str) -> None:
    state = portfolio_state(portfolio, DAY)
    assert isinstance(state, AllocationState)
    restrictions = [unsaved(state, *rule) for rule in rules]
    state = AllocationState(**{**vars(state), "restrictions": tuple(r for r in restrictions if r)})
    state.policy.mode = mode
    case = ProposalCase(state, state.policy, PolicyOverrides(raise_amount=Decimal(300)), gear="fast")
    if case.refusal:
        return
    lines, bounds = case.problem()
    proposal = propose(lines, bounds)
    ids = {name: pk for pk, name in case.names.items()}
    assert restriction_faults(state, [(ids[trade.symbol], trade) for trade in proposal.trades]) == []
    if proposal.status == "infeasible":
        assert proposal.reasons


def unsaved(
    state: AllocationState, kind: str, subject: str, unit: str, low: int | None, high: int | None
) -> TradingRestriction | None:
    is_range = kind == "range"
    if is_range and ((low is None and high is None) or (low is not None and high is not None and low > high)):
        return None
    one = next((line.asset for line in state.lines if line.asset.symbol == subject), None)
    scale = 100 if unit == "money" else 1
    return TradingRestriction(
        asset=one,
        issuer="Acme" if subject == "issuer" else "",
        sector="Tools" if subject == "sector" else "",
        kind=kind,
        unit="percent" if unit == "units" and one is None else unit,
        minimum=Decimal(low * scale) if is_range and low is not None else None,
        maximum=Decimal(high * scale) if is_range and high is not None else None,
        starts_on=DAY,
        reason="house rule",
    )


def test_the_check_itself_finds_what_goes_against_a_restriction(portfolio: Portfolio) -> None:
    restrict(portfolio, "range", "CCC", unit="units", maximum=7)
    restrict(portfolio, "do_not_sell", "AAA")
    state = portfolio_state(portfolio, DAY)
    assert isinstance(state, AllocationState)

    def faults(symbol: str, side: Any, quantity: int) -> list[str]:
        line = next(line for line in state.lines if line.asset.symbol == symbol)
        assert line.price
        trade = Trade(symbol, side, Decimal(quantity), line.price, quantity * line.price, Decimal(0))
        return restriction_faults(state, [(line.asset.pk, trade)])

    assert faults("CCC", "buy", 7) == []
    assert faults("CCC", "buy", 8) == ["CCC: leads out of at most 7 units (house rule)"]
    assert faults("AAA", "sell", 1) == ["AAA: sell against do not sell (house rule)"]
    assert faults("AAA", "buy", 1) == []
