"""Rebalancing: what is open, what was done before, and the rules it goes by."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from analytics.admin.figures import EVENT_TONES, choice_badge
from analytics.admin.portfolio_page.content import Content
from analytics.admin.portfolio_page.policy_words import policy_in_words, rule_in_words, subject_in_words
from analytics.models import RebalancingEvent, RebalancingPolicy
from analytics.selectors.event_history import deciders_of, event_history, policy_of
from analytics.selectors.restrictions import restrictions_on
from portfolio_site.kernel import clock
from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.tables import Column, Link, Table
from portfolios.models import Portfolio

SHOWN_EVENTS = 50
NOBODY = "nobody"


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    history = event_history(portfolio, SHOWN_EVENTS)
    tables = [_trades(history.open, portfolio)] if history.open else []
    tables += [
        _past(history.past, portfolio, has_more=history.has_more),
        _policy(policy_of(portfolio), portfolio),
        _restrictions(portfolio),
    ]
    return Content(
        tables,
        figures=_headline(history.open) if history.open else (),
        template="admin/portfolio_page/rebalancing.html",
        context={
            "event": history.open,
            "event_url": _review_url(history.open) if history.open else "",
            "all_url": f"{reverse('admin:analytics_rebalancingevent_changelist')}?portfolio={portfolio.pk}",
        },
    )


def _review_url(event: RebalancingEvent) -> str:
    return reverse("admin:analytics_rebalancingevent_change", args=[event.pk])


def _headline(event: RebalancingEvent) -> Sequence[tuple[str, Any]]:
    currency = event.portfolio.base_currency
    return [
        ("Open event", choice_badge(event.get_status_display(), event.status, EVENT_TONES)),
        ("Reason", event.get_event_type_display()),
        ("Drift before", figures.figure(event.drift_before, unit="%")),
        ("Drift after", figures.figure(event.drift_after, unit="%")),
        ("Turnover", figures.percent(event.turnover)),
        ("Estimated cost", figures.money(event.estimated_cost, currency.code, currency.minor_units)),
        ("Estimated tax", figures.money(event.estimated_tax, currency.code, currency.minor_units)),
    ]


def _trades(event: RebalancingEvent, portfolio: Portfolio) -> Table:
    currency, places = portfolio.base_currency_id, portfolio.base_currency.minor_units
    return Table(
        "trades",
        "Trades of the open event",
        [
            Column("Asset"),
            Column("Side"),
            Column("Quantity", "number", 4 if _has_fractions(event) else 0),
            Column("Price", "number", 4, currency),
            Column("Amount", "number", places, currency),
            Column("Cost", "number", places, currency),
            Column("Tax", "number", places, currency),
            Column("Why"),
        ],
        [_trade_row(action) for action in event.actions],
        empty="Nothing would be traded.",
    )


def _trade_row(action: Mapping[str, Any]) -> list[Any]:
    amounts = [_amount(action.get(name)) for name in ("quantity", "price", "amount", "cost", "tax")]
    return [action.get("symbol", ""), action.get("side", ""), *amounts, action.get("reason", "")]


def _amount(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _has_fractions(event: RebalancingEvent) -> bool:
    return any((_amount(action.get("quantity")) or 0) % 1 for action in event.actions)


def _past(events: Sequence[RebalancingEvent], portfolio: Portfolio, *, has_more: bool) -> Table:
    currency, places = portfolio.base_currency_id, portfolio.base_currency.minor_units
    return Table(
        "events",
        "Past events",
        [
            Column("Event"),
            Column("Valued on", "date"),
            Column("State"),
            Column("Proposed by"),
            Column("Decided by"),
            Column("Trades", "number", 0),
            Column("Cost estimated", "number", places, currency),
            Column("Cost actual", "number", places, currency),
            Column("Drift before", "number", 2, "%"),
            Column("Drift after", "number", 2, "%"),
        ],
        [_event_row(event) for event in events],
        empty="No rebalancing has come to its end yet.",
        note=f"The latest {SHOWN_EVENTS}; the list of all events has the older ones." if has_more else "",
    )


def _event_row(event: RebalancingEvent) -> list[Any]:
    return [
        Link(f"{event.pk} {event.get_event_type_display().lower()}", _review_url(event)),
        event.valuation_date,
        event.get_status_display(),
        str(event.requested_by or "the nightly run"),
        _decided_by(event),
        len(event.actions),
        event.estimated_cost,
        event.actual_cost,
        event.drift_before,
        event.drift_after,
    ]


def _decided_by(event: RebalancingEvent) -> str:
    decisions = [
        f"{decision.user or 'the policy'} ({decision.get_decision_display().lower()})"
        for decision in deciders_of(event)
    ]
    if not decisions and event.approved_by is not None:
        decisions = [f"{event.approved_by} (approved)"]
    return ", ".join(decisions) or NOBODY


def _policy(policy: RebalancingPolicy | None, portfolio: Portfolio) -> Table:
    return Table(
        "policy",
        "Policy",
        [Column("About"), Column("Rule")],
        policy_in_words(policy, portfolio.base_currency_id) if policy else [],
        empty="No policy is stored: set one, or the defaults hold.",
        note=f"Version {policy.version}." if policy else "",
        wide=False,
    )


def _restrictions(portfolio: Portfolio) -> Table:
    rows = [
        [
            subject_in_words(row),
            rule_in_words(row, portfolio.base_currency_id),
            "this portfolio" if row.portfolio_id else "all portfolios",
            row.starts_on,
            row.ends_on or "until lifted",
            str(row.owner or NOBODY),
            row.reason,
        ]
        for row in restrictions_on(portfolio, clock.today())
    ]
    return Table(
        "restrictions",
        "Restrictions in force",
        [Column(name) for name in ("What", "Rule", "Holds for", "From", "Until", "By", "Reason")],
        rows,
        empty="No restriction is in force: everything may be traded.",
        wide=False,
    )
