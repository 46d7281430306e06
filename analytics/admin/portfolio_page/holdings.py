"""Holdings: every line against its target, the lots behind it, and what the whole is exposed to."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest
from django.urls import reverse

from analytics.admin.portfolio_page.content import Content, Section
from analytics.admin.portfolio_page.weight_bars import Drawn, Scale, bar, scale_of, state_badge, weight_bar
from analytics.selectors.summaries import performance_snapshot
from analytics.services.allocation_analysis import AllocationLine
from analytics.services.holdings import Holdings, HoldingsError, holdings_on
from portfolio_site.kernel import clock
from portfolio_site.kernel.admin import figures
from portfolio_site.kernel.admin.figures import badge
from portfolio_site.kernel.charts import Chart
from portfolio_site.kernel.tables import Column, Link, Table, Unknown
from portfolios.models import Portfolio

NOT_COMPUTED = "Nothing is computed yet: run analytics for this portfolio."
NO_HOLDINGS = "Nothing is held and nothing is targeted: import transactions, or set targets."
NOT_HELD = Unknown("not held")
NO_TARGET = Unknown("no target")
QUANTITY_PLACES = 8


def show(request: HttpRequest, portfolio: Portfolio) -> Content:
    snapshot = performance_snapshot(portfolio, None)
    if snapshot is None:
        return Content([_empty(NOT_COMPUTED)])
    try:
        found = holdings_on(portfolio, snapshot.snapshot_date)
    except HoldingsError as error:
        return Content([_empty(f"The holdings cannot be shown: {error}.")])
    sections: list[Section] = [_holdings(found)]
    if "lots" in request.GET:
        sections.append(_lots(request.GET["lots"], found))
    sections += [_exposure(found, "sectors", "Sectors", _by_sector(found)),
                 _exposure(found, "currencies", "Currencies", _by_currency(found))]  # fmt: skip
    return Content(sections, figures=_headline(found))


def _empty(words: str) -> Table:
    return Table("holdings", "Holdings", [Column("Symbol")], [], empty=words)


# --- above the table -----------------------------------------------------------------------------------


def _headline(found: Holdings) -> Sequence[tuple[str, Any]]:
    state = found.state
    currency, reason = state.portfolio.base_currency, "; ".join(state.reasons)
    breaches = len(state.breaches)
    value = figures.money(state.value, currency.code, currency.minor_units, reason=reason)
    outside = f"{breaches} of {sum(line.allocation is not None for line in state.lines)} lines"
    return [
        (f"Value on {state.day}", value),
        ("Drift from targets", figures.figure(state.drift, 2, unit="%", reason=reason)),
        ("Outside their band", badge(outside, "bad" if breaches else "good")),
        ("Prices", _price_badge(found)),
    ]  # fmt: skip


def _price_badge(found: Holdings) -> Any:
    stale, days = len(_stale_lines(found)), (clock.today() - found.state.day).days
    if stale:
        return badge(f"{stale} stale", "fair")
    if days > settings.PRICE_STALE_DAYS:
        return badge(f"{days:,} days old", "fair")
    return badge("recent", "good")


def _stale_lines(found: Holdings) -> list[AllocationLine]:
    return [line for line in found.state.lines if line.quantity and _is_stale(line)]


def _is_stale(line: AllocationLine) -> bool:
    return line.price_age is not None and line.price_age > settings.PRICE_STALE_DAYS


# --- the lines -----------------------------------------------------------------------------------------


def _holdings(found: Holdings) -> Table:
    state, unit = found.state, found.state.portfolio.base_currency_id
    cash_weight = None if state.cash_weight is None else float(state.cash_weight)
    scale = scale_of(state.lines, cash_weight)
    money = state.portfolio.base_currency.minor_units
    lines = sorted(state.lines, key=lambda line: (-(line.weight or 0), line.asset.symbol))
    rows = [_row(line, found, scale) for line in lines]
    if rows or state.cash:
        rows += [_cash_row(found, scale), _total_row(found)]
    return Table(
        "holdings",
        f"Holdings on {state.day}",
        [
            Column("Symbol"),
            Column("State"),
            Column("Quantity", "number", _quantity_places(lines)),
            Column("Price", "number"),
            Column("In"),
            Column("Price day", "date"),
            Column("Value", "number", money, unit),
            Column("Weight", "number", unit="%"),
            Column("Target", "number", unit="%"),
            Column("Drift", "number", unit="points", signed=True),
            Column(f"Weight, target, limits ({scale})"),
            Column("Unrealized gain", "number", money, unit, signed=True),
            Column("Lots"),
        ],
        rows,
        empty=NO_HOLDINGS,
        note=_note(found, scale),
        shown=max(len(rows), 1),
    )


def _quantity_places(lines: Sequence[AllocationLine]) -> int:
    """As many decimals as the quantities need."""
    exponents = [line.quantity.normalize().as_tuple().exponent for line in lines]
    return min(QUANTITY_PLACES, max([0, *(-int(exponent) for exponent in exponents)]))


def _row(line: AllocationLine, found: Holdings, scale: Scale) -> list[Any]:
    asset, quote = line.asset, line.quote
    lots = found.lots.get(asset.pk, ())
    reason = "; ".join(found.state.reasons)
    no_price = Unknown(f"no price in {found.state.portfolio.base_currency_id}")
    gain = found.gain(line)
    return [
        Link(asset.symbol, reverse("admin:portfolios_asset_change", args=[asset.pk])),
        _state(line),
        line.quantity if line.quantity else NOT_HELD,
        no_price if quote.local is None else quote.local,
        asset.currency_id,
        no_price if quote.bar_date is None else quote.bar_date,
        no_price if line.value is None else line.value,
        Unknown(reason) if line.weight is None else line.weight,
        line.target if line.allocation else NO_TARGET,
        Unknown(reason) if line.drift is None else line.drift.deviation,
        weight_bar(line, scale),
        (Unknown("the cost is not known") if line.quantity else NOT_HELD) if gain is None else gain,
        Link(_count(len(lots)), f"?lots={asset.pk}#lots-title") if lots else NOT_HELD,
    ]


def _count(lots: int) -> str:
    return "1 lot" if lots == 1 else f"{lots} lots"


def _state(line: AllocationLine) -> Drawn:
    """What stands out about a line, the worst first."""
    if line.quantity and line.price_age is None:
        return state_badge("no price", "bad")
    if line.allocation and line.drift and line.drift.breached:
        return state_badge(f"{'above' if line.drift.deviation > 0 else 'below'} its band", "bad")
    if line.quantity and _is_stale(line):
        return state_badge(f"price {line.price_age} days old", "fair")
    if not line.allocation:
        return state_badge("no target", "fair")
    return state_badge(
        "not known" if line.drift is None else "inside", "calm" if line.drift is None else "good"
    )


def _cash_row(found: Holdings, scale: Scale) -> list[Any]:
    state = found.state
    reason, weight, target = "; ".join(state.reasons), state.cash_weight, state.policy.cash_target_percentage
    nothing = Unknown("cash has none")
    drawn = bar("Cash", scale, None if weight is None else float(weight), float(target), None, None, False)
    return [
        "Cash", state_badge("cash", "calm"), nothing, nothing,
        ", ".join(sorted(found.cash)) or nothing, nothing,
        Unknown(reason) if state.cash is None else state.cash,
        Unknown(reason) if weight is None else weight,
        target,
        Unknown(reason) if weight is None else weight - target,
        drawn, nothing, nothing,
    ]  # fmt: skip


def _total_row(found: Holdings) -> list[Any]:
    state, nothing = found.state, Unknown("no sum")
    reason = Unknown("; ".join(state.reasons))
    gains = [found.gain(line) for line in state.lines if line.quantity]
    known = [gain for gain in gains if gain is not None]
    targets = sum((line.target for line in state.lines), state.policy.cash_target_percentage)
    return [
        "Total", "", nothing, nothing, "", nothing,
        reason if state.value is None else state.value,
        reason if state.value is None else Decimal(100),
        targets,
        nothing, "",
        sum(known, Decimal(0)) if len(known) == len(gains) else Unknown("the gain of a line is not known"),
        "",
    ]  # fmt: skip


def _note(found: Holdings, scale: Scale) -> str:
    days = (clock.today() - found.state.day).days
    words = [
        f"Bars from {scale}: the thick line is the weight, the upright one the target, the field the band, "
        "the brackets min and max (not drawn beyond the scale). Gains are before fees and taxes."
    ]
    if days > settings.PRICE_STALE_DAYS:
        words.append(f"The last stored day is {days:,} days ago: import prices and run analytics.")
    stale = _stale_lines(found)
    if stale:
        names = ", ".join(f"{line.asset.symbol} ({line.quote.bar_date})" for line in stale)
        words.append(f"Prices older than {settings.PRICE_STALE_DAYS} days: {names}.")
    return " ".join(words)


# --- lots ----------------------------------------------------------------------------------------------


def _lots(wanted: str, found: Holdings) -> Table:
    """The lots of one line, the oldest first."""
    line = next((line for line in found.state.lines if str(line.asset.pk) == wanted), None)
    if line is None:
        raise Http404
    portfolio = found.state.portfolio
    unit, money = portfolio.base_currency_id, portfolio.base_currency.minor_units
    term = found.state.policy.long_term_days
    unknown_cost, no_price = Unknown("no exchange rate was known"), Unknown("no price")
    rows = []
    for lot in found.lots.get(line.asset.pk, ()):
        value = None if line.price is None else lot.quantity * line.price
        gain = None if value is None or lot.cost is None else value - lot.cost
        age = (found.state.day - lot.opened).days
        rows.append(
            [
                lot.opened,
                lot.quantity,
                unknown_cost if lot.unit_cost is None else lot.unit_cost,
                unknown_cost if lot.cost is None else lot.cost,
                no_price if value is None else value,
                (no_price if value is None else unknown_cost) if gain is None else gain,
                Unknown("it cost nothing") if gain is None or not lot.cost else gain / abs(lot.cost),
                age,
                "long" if age > term else "short",
            ]
        )
    return Table(
        "lots",
        f"Lots of {line.asset.symbol} on {found.state.day}",
        [
            Column("Opened", "date"),
            Column("Quantity", "number", _quantity_places([line])),
            Column("Cost per unit", "number", 2, unit),
            Column("Cost", "number", money, unit),
            Column("Value", "number", money, unit),
            Column("Gain", "number", money, unit, signed=True),
            Column("Gain", "percent", signed=True),
            Column("Age", "number", 0, "days"),
            Column("Term"),
        ],
        rows,
        empty=f"{line.asset.symbol} is not held.",
        note=f"Long: held for more than {term} days. Costs without fees and taxes.",
    )


# --- exposures -----------------------------------------------------------------------------------------


def _by_sector(found: Holdings) -> Mapping[str, Decimal | None]:
    values: dict[str, Decimal | None] = {}
    for line in found.state.lines:
        if line.quantity:
            _add(values, line.asset.sector or "No sector", line.value)
    if found.state.cash != 0:
        _add(values, "Cash", found.state.cash)
    return values


def _by_currency(found: Holdings) -> Mapping[str, Decimal | None]:
    """Of the assets and of the cash."""
    values: dict[str, Decimal | None] = {}
    for line in found.state.lines:
        if line.quantity:
            _add(values, line.asset.currency_id, line.value)
    for currency, amount in found.cash.items():
        _add(values, currency, amount)
    return values


def _add(values: dict[str, Decimal | None], name: str, value: Decimal | None) -> None:
    known = values.get(name, Decimal(0))
    values[name] = None if known is None or value is None else known + value


def _exposure(found: Holdings, slug: str, title: str, values: Mapping[str, Decimal | None]) -> Chart:
    total, currency = found.state.value, found.state.portfolio.base_currency
    named = sorted(values.items(), key=lambda item: (item[1] is None, -(item[1] or 0), item[0]))
    shares = [None if value is None or total is None else value / total for _, value in named]
    names = [name for name, _ in named]
    missing = Unknown("; ".join(found.state.reasons))
    heading = {"sectors": "Sector", "currencies": "Currency"}[slug]
    return Chart(
        slug=slug,
        title=title,
        summary=_exposure_words(names, shares),
        traces=[
            {
                "type": "bar", "orientation": "h", "y": names,
                "x": [None if share is None else float(share * 100) for share in shares],
                "marker": {"color": "--chart-1"},
                "hovertemplate": "%{y}: %{x:.2f} %<extra></extra>",
            }
        ],
        layout={
            "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
            "xaxis": {"ticksuffix": " %", "rangemode": "tozero"},
            "hovermode": "closest",
            "bargap": 0.4,
        },
        height=70 + 30 * max(1, len(names)),
        table=Table(
            slug,
            title,
            [Column(heading), Column("Value", "number", currency.minor_units, currency.code),
             Column("Weight", "percent")],
            [[name, missing if value is None else value, missing if share is None else share]
             for (name, value), share in zip(named, shares, strict=True)],
            empty="Nothing is held.",
        ),
    )  # fmt: skip


def _exposure_words(names: Sequence[str], shares: Sequence[Decimal | None]) -> str:
    known = [
        f"{name} {share * 100:.1f} %" for name, share in zip(names, shares, strict=True) if share is not None
    ]
    if not known:
        return "The weights are not known."
    rest = f", and {len(known) - 3} more" if len(known) > 3 else ""
    return f"In percent of the value: {', '.join(known[:3])}{rest}."
