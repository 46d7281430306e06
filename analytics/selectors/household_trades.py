"""What a household sold and bought, as far as taxes ask: sales, purchases, orders, gains of the year."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from types import MappingProxyType

import numpy as np
from django.conf import settings

from analytics.calculations.wash_sales import WINDOW_DAYS, LotSale, Purchase
from analytics.models import OrderSide, OrderStatus, RebalancingOrder
from analytics.models.rebalancing import OPEN_STATUSES
from portfolios.calculations.ledger import Closing, DayBook
from portfolios.calculations.lots import EXACT, ZERO, Lot
from portfolios.models import Asset, Portfolio, TaxTreatment
from portfolios.selectors.books import BookInputs
from portfolios.selectors.holdings import asset_groups
from portfolios.selectors.market_data import exchange_rates_to
from portfolios.selectors.open_lots import WalkedBook, walked_books

UNFILLED = (OrderStatus.NEW, OrderStatus.SENT, OrderStatus.PARTLY_FILLED)


@dataclass
class HouseholdTrades:
    """Of one portfolio and the others of its household, up to a day.

    lots: the portfolio's own, long, by asset. sales: of taxable portfolios. sales and purchases are named
    after their transactions, the lots of sales too; units in the shares of the day. year_gain: realised
    since the first of January in all taxable portfolios, in the currency of the portfolio, None when unknown.
    gain_reasons: why. unknown: by identity, sales of the last days of which it is unknown whether they were
    at a loss. faults: books that cannot be walked, fault: the portfolio's own among them.
    """

    lots: dict[int, list[Lot]] = field(default_factory=dict)
    sales: list[LotSale] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    year_gain: Decimal | None = ZERO
    gain_reasons: list[str] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    fault: str = ""


@dataclass
class _MemberTrades:
    """The same of one portfolio alone, its gains in its own currency."""

    portfolio: Portfolio
    lots: dict[int, list[Lot]] = field(default_factory=dict)
    sales: list[LotSale] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    year_gain: Decimal = ZERO
    gain_reasons: list[str] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    fault: str = ""


def transaction_name(transaction_id: int) -> str:
    return f"transaction {transaction_id}"


def identities_of(asset_ids: Iterable[int]) -> dict[int, str]:
    """By asset what makes it substantially identical to others: its group, or itself alone.

    All assets of the groups of the asked ones are found with them.
    """
    asked = list(Asset.objects.filter(pk__in=list(asset_ids)).values_list("pk", "identity_group"))
    groups = {group for _, group in asked if group}
    rows = Asset.objects.filter(identity_group__in=groups).values_list("pk", "identity_group")
    return {asset: f"asset {asset}" for asset, group in asked if not group} | dict(rows)


def household_trades(
    portfolios: Sequence[Portfolio],
    day: dt.date,
    identities: Mapping[int, str],
    *,
    with_year_gain: bool = False,
    books: Mapping[int, WalkedBook] = MappingProxyType({}),
) -> dict[int, HouseholdTrades]:
    """By portfolio. identities: by asset, as `identities_of` says; only trades in these are looked for.

    with_year_gain: else the gains of the year are those of these assets alone, or of the whole book. books:
    whole ones up to the day, by portfolio, that need not be read again.
    """
    households = {portfolio.household_id for portfolio in portfolios} - {None}
    relatives = Portfolio.objects.filter(household__in=households)
    members = sorted({p.pk: p for p in (*relatives, *portfolios)}.values(), key=lambda member: member.pk)
    unread = [member for member in members if member.pk not in books]
    walked = [books[member.pk] for member in members if member.pk in books]
    if unread:
        groups = [] if with_year_gain else asset_groups(identities)
        assets = None if with_year_gain else {asset for group in groups for asset in group.assets}
        walked += walked_books(unread, day, assets=assets)
    trades = {book.portfolio.pk: _member_trades(book, day, identities) for book in walked}
    for order in _open_orders(members, identities):
        trades[order.event.portfolio_id].purchases.append(_ordered(order, day, identities))
    by_household: dict[int | None, list[_MemberTrades]] = {}
    for member in members:
        by_household.setdefault(member.household_id, []).append(trades[member.pk])
    return {
        portfolio.pk: _of_household(
            trades[portfolio.pk],
            [trades[portfolio.pk]]
            if portfolio.household_id is None
            else by_household[portfolio.household_id],
            day,
        )
        for portfolio in portfolios
    }


def _member_trades(book: WalkedBook, day: dt.date, identities: Mapping[int, str]) -> _MemberTrades:
    found = _MemberTrades(book.portfolio)
    if book.fault is not None:
        found.fault = str(book.fault)
        return found
    if book.days:
        found.lots = {
            asset: [lot for lot in lots if lot.quantity > 0] for asset, lots in book.days[-1].lots.items()
        }
    is_taxable = book.portfolio.tax_treatment == TaxTreatment.TAXABLE
    with localcontext(EXACT):
        _add_trades(found, book.inputs, book.days, identities)
        first_day = day - dt.timedelta(days=WINDOW_DAYS)
        found.unknown = _unknown_sales(book.days, identities, first_day) if is_taxable else []
        of_year = [walked for walked in book.days if walked.date.year == day.year]
        found.year_gain = sum((walked.realized for walked in of_year), ZERO)
    found.gain_reasons = [
        part.reason for walked in of_year for part in walked.unknown if part.field == "realized"
    ]
    return found


def _add_trades(
    found: _MemberTrades, inputs: BookInputs, days: Iterable[DayBook], identities: Mapping[int, str]
) -> None:
    is_taxable = found.portfolio.tax_treatment == TaxTreatment.TAXABLE
    sold: dict[int, list[tuple[dt.date, Decimal]]] = {}
    for book in days:
        for closing in book.closings:
            if closing.asset not in identities or closing.lots[0].quantity < 0:
                continue
            factor = _split_factor(inputs, closing.asset, book.date)
            for lot in closing.lots:
                sold.setdefault(lot.id, []).append((book.date, lot.quantity * factor))
            if is_taxable:
                _add_sale(found, closing, book.date, factor, identities[closing.asset])
    for entry in inputs.entries:
        if entry.kind != "buy" or entry.asset is None or entry.quantity is None:
            continue
        if entry.asset in identities:
            found.purchases.append(
                Purchase(
                    name=transaction_name(entry.id),
                    identity=identities[entry.asset],
                    day=entry.date,
                    quantity=entry.quantity * _split_factor(inputs, entry.asset, entry.date),
                    sheltered=not is_taxable,
                    sold=tuple(sold.get(entry.id, ())),
                )
            )


def _add_sale(found: _MemberTrades, closing: Closing, day: dt.date, factor: Decimal, identity: str) -> None:
    units = sum((lot.quantity for lot in closing.lots), ZERO)
    for lot in closing.lots:
        if closing.proceeds is None or lot.cost is None:
            continue
        found.sales.append(
            LotSale(
                sale=transaction_name(closing.entry),
                lot=transaction_name(lot.id),
                identity=identity,
                day=day,
                opened=lot.opened,
                quantity=lot.quantity * factor,
                loss=lot.cost - closing.proceeds * lot.quantity / units,
            )
        )


def _unknown_sales(
    days: Iterable[DayBook], identities: Mapping[int, str], first_day: dt.date
) -> list[tuple[str, str]]:
    return [
        (
            identities[closing.asset],
            f"{transaction_name(closing.entry)}: cost or proceeds unknown, so it may have been a loss",
        )
        for book in days
        if book.date >= first_day
        for closing in book.closings
        if closing.asset in identities
        and (closing.proceeds is None or any(lot.cost is None for lot in closing.lots))
    ]


def _split_factor(inputs: BookInputs, asset: int, day: dt.date) -> Decimal:
    """Shares of the last day for one share traded on this one."""
    factor = Decimal(1)
    for action in inputs.actions:
        if action.kind == "split" and action.asset == asset and action.date > day and action.ratio:
            factor = factor * action.ratio.numerator / action.ratio.denominator
    return factor


def _of_household(own: _MemberTrades, members: Iterable[_MemberTrades], day: dt.date) -> HouseholdTrades:
    found = HouseholdTrades(lots=own.lots, fault=own.fault)
    for member in members:
        if member.fault:
            found.faults.append(f"{member.portfolio.code}: {member.fault}")
        found.sales += member.sales
        found.purchases += member.purchases
        found.unknown += member.unknown
        if member.portfolio.tax_treatment == TaxTreatment.TAXABLE:
            _add_year_gain(found, member, own.portfolio.base_currency_id, day)
    return found


def _add_year_gain(found: HouseholdTrades, member: _MemberTrades, currency: str, day: dt.date) -> None:
    rate = _rate(member.portfolio.base_currency_id, currency, day) if member.year_gain else Decimal(1)
    unknown = member.fault or next(iter(member.gain_reasons), "")
    if rate is None:
        unknown = unknown or f"no {currency} rate for {member.portfolio.base_currency_id}"
    if unknown or rate is None:
        found.year_gain = None
        found.gain_reasons.append(f"gains of {day.year} in {member.portfolio.code}: {unknown}")
    elif found.year_gain is not None:
        found.year_gain = EXACT.add(found.year_gain, EXACT.multiply(member.year_gain, rate))


def _rate(currency: str, base: str, day: dt.date) -> Decimal | None:
    if currency == base:
        return Decimal(1)
    series = exchange_rates_to(base, [currency], day).get(currency)
    if series is None or not len(series[0]):
        return None
    dates, rates = series
    age = int((np.datetime64(day) - dates[-1]).astype(int))
    return Decimal(repr(float(rates[-1]))) if age <= settings.FX_MAX_CARRY_DAYS else None


def _open_orders(members: Iterable[Portfolio], identities: Mapping[int, str]) -> Iterable[RebalancingOrder]:
    orders = RebalancingOrder.objects.filter(
        event__portfolio__in=list(members),
        event__status__in=OPEN_STATUSES,
        side=OrderSide.BUY,
        status__in=UNFILLED,
        asset__in=list(identities),
    ).select_related("event__portfolio")
    return (order for order in orders if order.quantity > order.filled_quantity)


def _ordered(order: RebalancingOrder, day: dt.date, identities: Mapping[int, str]) -> Purchase:
    """What is on its way counts as bought on the day."""
    return Purchase(
        name=f"order {order.client_order_id}",
        identity=identities[order.asset_id],
        day=day,
        quantity=order.quantity - order.filled_quantity,
        sheltered=order.event.portfolio.tax_treatment != TaxTreatment.TAXABLE,
    )
