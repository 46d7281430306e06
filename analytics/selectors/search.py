"""Finding a portfolio, an asset or an event by what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from analytics.models import RebalancingEvent
from portfolios.models import Asset, Portfolio
from portfolios.selectors.visibility import User, limited_to, visible_to

SHOWN = 20
LONGEST_TERM = 100


@dataclass(frozen=True)
class Found:
    """`exact`: the one thing that is called exactly so; None where there is none, or more than one."""

    portfolios: Sequence[Portfolio]
    assets: Sequence[Asset]
    events: Sequence[RebalancingEvent]
    exact: Portfolio | Asset | RebalancingEvent | None

    @property
    def is_empty(self) -> bool:
        return not (self.portfolios or self.assets or self.events)


def search(user: User, term: str) -> Found:
    """What the user may see of what matches: codes and names, symbols, numbers of events."""
    term = term.replace("\0", "").strip()[:LONGEST_TERM]
    if not term:
        return Found([], [], [], None)
    portfolios = list(_closest(visible_to(user), term, "code")[:SHOWN])
    assets = list(_closest(Asset.objects.all(), term, "symbol", "isin")[:SHOWN])
    events = list(_events(user, term))
    named: list[Any] = [each for each in portfolios if each.code.casefold() == term.casefold()]
    named += [each for each in assets if term.casefold() in (each.symbol.casefold(), each.isin.casefold())]
    if not named and not portfolios and not assets:
        named = events
    return Found(portfolios, assets, events, named[0] if len(named) == 1 else None)


def _closest(rows: QuerySet[Any], term: str, *keys: str) -> QuerySet[Any]:
    """Those called so first, then those that begin so, then those that contain it."""
    contains, starts, equals = Q(name__icontains=term), Q(), Q()
    for key in keys:
        contains |= Q(**{f"{key}__icontains": term})
        starts |= Q(**{f"{key}__istartswith": term})
        equals |= Q(**{f"{key}__iexact": term})
    closeness = Case(
        When(equals, then=Value(0)),
        When(starts, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return rows.filter(contains).order_by(closeness, keys[0], "pk")


def _events(user: User, term: str) -> QuerySet[RebalancingEvent]:
    events = limited_to(user, RebalancingEvent.objects.select_related("portfolio"))
    number = term.removeprefix("#")
    if not number.isascii() or not number.isdigit() or int(number) >= 2**63:
        return events.none()
    return events.filter(pk=int(number)).only("event_type", "status", "valuation_date", "portfolio__code")
