"""What the sales of a proposal realise: their lots, the tax, and what the tax rules say against them.

Nothing is stored here. A definition for all of it: tax of the proposal = max(0, sum over the lots sold of
(gain + loss that a wash sale takes away) x rate of the lot's term). Portfolios that are not taxable pay none,
but what they buy can take away a loss of the household.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, cast

from analytics.calculations.sale_lots import (
    SaleMethod,
    SoldLot,
    TaxRates,
    choose_lots,
    compare_methods,
    disallow_loss,
)
from analytics.calculations.sale_taxes import (
    above_gain_limit,
    beyond_budget,
    proposal_tax,
    realised_gain,
    sale_tax,
    soon_long_term,
)
from analytics.calculations.wash_sales import (
    LotSale,
    Purchase,
    WashSale,
    disallowed_of,
    replacement_lots,
    wash_sales,
)
from analytics.models import LotMethod, RebalancingPolicy, WashSaleMode
from analytics.selectors.household_trades import (
    HouseholdTrades,
    household_trades,
    identities_of,
    transaction_name,
)
from portfolio_site.kernel.canonical import decimal_text
from portfolios.calculations.lots import DUST, InsufficientLotsError, Lot
from portfolios.models import Asset, CostMethod, Portfolio, TaxTreatment
from portfolios.selectors.open_lots import WalkedBook

# As money is stored.
MONEY_PLACES = Decimal("0.000001")
NOTHING = Decimal(0)


@dataclass(frozen=True)
class TaxedTrade:
    """One trade of a proposal. side: buy or sell. price: base currency per unit."""

    asset_id: int
    side: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True)
class SaleDetail:
    """The lots of one sale as an action of a proposal names them, numbers as text.

    tax: of these lots, negative when losses prevail; None when unknown. short_gain, long_gain: as they count
    for the tax. method: average when the books cannot tell their lots apart, and a sale must not name them.
    """

    lots: list[dict[str, Any]]
    tax: Decimal | None
    short_gain: Decimal | None
    long_gain: Decimal | None
    method: str
    disallowed: Decimal = NOTHING


@dataclass(frozen=True)
class TaxReview:
    """sales, warnings, blocked: by asset. blocked: what may not be traded that way, and why.

    tax: of the whole proposal, None when unknown, `reasons` say why. wash_sales: all that were found for the
    trades of the proposal, also where the policy allows them.
    """

    sales: dict[int, SaleDetail] = field(default_factory=dict)
    tax: Decimal | None = NOTHING
    warnings: dict[int, list[str]] = field(default_factory=dict)
    blocked: dict[int, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    wash_sales: list[dict[str, Any]] = field(default_factory=list)


def tax_review(
    portfolio: Portfolio, policy: RebalancingPolicy, day: dt.date, trades: Sequence[TaxedTrade]
) -> TaxReview:
    """Lots, taxes and wash sales of the trades of one portfolio if they were made at the end of `day`."""
    return tax_reviews([(portfolio, policy, trades)], day)[0]


def tax_reviews(
    cases: Sequence[tuple[Portfolio, RebalancingPolicy, Sequence[TaxedTrade]]],
    day: dt.date,
    *,
    books: Mapping[int, WalkedBook] | None = None,
) -> list[TaxReview]:
    """The same for many portfolios, whose books are read at once; none knows of the trades of another.

    books: by portfolio, whole books up to the day, where they have been walked already.
    """
    return [TaxReview() if review is None else review.run() for review in _reviews(cases, day, books or {})]


def lot_methods_compare(
    portfolio: Portfolio, policy: RebalancingPolicy, day: dt.date, sale: TaxedTrade
) -> dict[str, SaleDetail]:
    """One sale by every method of choosing lots, wash sales left out of it.

    Raises InsufficientLotsError for a sale beyond the lots.
    """
    (review,) = _reviews([(portfolio, policy, [sale])], day, {})
    return review.compare(sale) if review else {}


def _reviews(
    cases: Sequence[tuple[Portfolio, RebalancingPolicy, Sequence[TaxedTrade]]],
    day: dt.date,
    books: Mapping[int, WalkedBook],
) -> list["_Review | None"]:
    """With all they need to know; None where there is no trade."""
    wanted = [(portfolio, policy) for portfolio, policy, trades in cases if trades]
    if not wanted:
        return [None for _ in cases]
    identities = identities_of({trade.asset_id for *_, trades in cases for trade in trades})
    known = household_trades(
        [portfolio for portfolio, _ in wanted],
        day,
        identities,
        with_year_gain=any(policy.yearly_gain_budget is not None for _, policy in wanted),
        books=books,
    )
    names = _names(identities)
    return [
        _Review(portfolio, policy, day, trades, identities, known[portfolio.pk], names) if trades else None
        for portfolio, policy, trades in cases
    ]


def _names(assets: Iterable[int]) -> dict[int, str]:
    """Symbols, with the exchange where two assets share one."""
    rows = list(Asset.objects.filter(pk__in=list(assets)).values_list("pk", "symbol", "exchange"))
    shared = Counter(symbol for _, symbol, _ in rows)
    return {
        asset: f"{symbol}.{exchange}" if shared[symbol] > 1 else symbol for asset, symbol, exchange in rows
    }


@dataclass
class _Review:
    """The trades of one portfolio, and what is known of it and of its household."""

    portfolio: Portfolio
    policy: RebalancingPolicy
    day: dt.date
    trades: Sequence[TaxedTrade]
    identities: Mapping[int, str]
    known: HouseholdTrades
    names: Mapping[int, str]
    sold: dict[int, list[SoldLot]] = field(default_factory=dict)
    result: TaxReview = field(default_factory=TaxReview)

    def __post_init__(self) -> None:
        self.asked = {self.identities[trade.asset_id] for trade in self.trades}
        self.past_sales = [sale for sale in self.known.sales if sale.identity in self.asked]
        self.purchases = [purchase for purchase in self.known.purchases if purchase.identity in self.asked]
        self.past_wash_sales = wash_sales(self.past_sales, self.purchases)

    def compare(self, sale: TaxedTrade) -> dict[str, SaleDetail]:
        lots = self._open_lots(sale.asset_id)
        found = compare_methods(lots, sale.quantity, price=sale.price, day=self.day, rates=self.rates)
        return {method: _detail(self._taxed(sold), method) for method, sold in found.items()}

    def run(self) -> TaxReview:
        self.result.reasons.extend(text for identity, text in self.known.unknown if identity in self.asked)
        self.result.reasons.extend(self.known.faults)
        if self.known.fault:
            return replace(self.result, tax=None if self.is_taxable else NOTHING)
        method = self._method()
        for trade in sorted(self.trades, key=lambda trade: trade.asset_id):
            if trade.side == "sell":
                self._sell(trade, method)
        self._find_wash_sales()
        if self.is_taxable:
            self._check_limits()
            self._check_budget()
        for asset, sold in self.sold.items():
            self.result.sales[asset] = _detail(sold, method)
        return replace(self.result, tax=self._tax())

    @property
    def is_taxable(self) -> bool:
        return self.portfolio.tax_treatment == TaxTreatment.TAXABLE

    @property
    def rates(self) -> TaxRates:
        if not self.is_taxable:
            return TaxRates(NOTHING, NOTHING, self.policy.long_term_days)
        return TaxRates(
            self.policy.short_term_tax_rate, self.policy.long_term_tax_rate, self.policy.long_term_days
        )

    def _method(self) -> SaleMethod:
        wanted, of_books = self.policy.lot_method, self.portfolio.cost_method
        if of_books == CostMethod.AVERAGE:
            if wanted != LotMethod.PORTFOLIO:
                self.result.reasons.append(
                    f"lots by {wanted}: the books are at average cost and know no lots"
                )
            return "average"
        return cast(SaleMethod, of_books if wanted == LotMethod.PORTFOLIO else wanted)

    def _sell(self, trade: TaxedTrade, method: SaleMethod) -> None:
        lots = self._open_lots(trade.asset_id)
        try:
            sold = choose_lots(
                lots, trade.quantity, method, price=trade.price, day=self.day, rates=self.rates
            )
        except InsufficientLotsError as error:
            self._block(
                trade.asset_id, f"sale of {_text(error.asked)}, but its lots hold only {_text(error.held)}"
            )
            return
        if self.is_taxable and any(part.gain is None for part in sold):
            self.result.reasons.append(f"{self.names[trade.asset_id]}: tax unknown, a lot has no known cost")
        self.sold[trade.asset_id] = self._taxed(sold)

    def _taxed(self, sold: list[SoldLot]) -> list[SoldLot]:
        return sold if self.is_taxable else [replace(part, tax=NOTHING) for part in sold]

    def _open_lots(self, asset: int) -> list[Lot]:
        """With what wash sales of the past added to them."""
        lots = self.known.lots.get(asset, [])
        if not self.is_taxable:
            return lots
        numbers = {transaction_name(lot.id): lot.id for lot in lots}
        added: dict[int, list[WashSale]] = {}
        for wash in self.past_wash_sales:
            if wash.purchase.name in numbers:
                added.setdefault(numbers[wash.purchase.name], []).append(wash)
        return replacement_lots(lots, added)

    def _find_wash_sales(self) -> None:
        proposed = [
            Purchase(
                name=f"purchase of {self.names[trade.asset_id]}",
                identity=self.identities[trade.asset_id],
                day=self.day,
                quantity=trade.quantity,
                sheltered=not self.is_taxable,
            )
            for trade in self.trades
            if trade.side == "buy"
        ]
        buyers = {f"purchase of {self.names[t.asset_id]}": t.asset_id for t in self.trades if t.side == "buy"}
        sellers = {f"sale of {self.names[asset]}": asset for asset in self.sold}
        sales = [*self.past_sales, *self._proposed_losses()]
        found = [
            wash
            for wash in wash_sales(sales, [*self._purchases_now(), *proposed])
            if wash.sale.sale in sellers or wash.purchase.name in buyers
        ]
        self._disallow(found, sellers)
        for wash in found:
            self.result.wash_sales.append(_wash_json(wash))
            culprit = buyers.get(wash.purchase.name)
            asset = sellers[wash.sale.sale] if culprit is None else culprit
            self._object(asset, _wash_text(wash))

    def _purchases_now(self) -> list[Purchase]:
        """The purchases of the past less what the proposal sells of them."""
        sold_now: dict[str, Decimal] = {}
        for sold in self.sold.values():
            for part in sold:
                name = transaction_name(part.lot)
                sold_now[name] = sold_now.get(name, NOTHING) + part.quantity
        return [
            replace(purchase, sold=(*purchase.sold, (self.day, sold_now[purchase.name])))
            if purchase.name in sold_now
            else purchase
            for purchase in self.purchases
        ]

    def _proposed_losses(self) -> list[LotSale]:
        if not self.is_taxable:
            return []
        return [
            LotSale(
                sale=f"sale of {self.names[asset]}",
                lot=transaction_name(part.lot),
                identity=self.identities[asset],
                day=self.day,
                opened=part.opened,
                quantity=part.quantity,
                loss=-part.gain,
                is_adjusted=True,
            )
            for asset, sold in self.sold.items()
            for part in sold
            if part.gain is not None and part.gain < 0
        ]

    def _disallow(self, found: Sequence[WashSale], sellers: Mapping[str, int]) -> None:
        left = disallowed_of(wash for wash in found if wash.sale.sale in sellers)
        for (sale, lot), amount in left.items():
            sold = self.sold[sellers[sale]]
            for place, part in enumerate(sold):
                if amount and transaction_name(part.lot) == lot and part.gain is not None:
                    taken = min(amount, max(-part.gain, NOTHING))
                    sold[place] = disallow_loss(part, taken, self.rates)
                    amount -= taken

    def _object(self, asset: int, text: str) -> None:
        if self.policy.wash_sale_mode == WashSaleMode.BLOCK:
            self._block(asset, text)
        elif self.policy.wash_sale_mode == WashSaleMode.WARN:
            self._warn(asset, text)

    def _check_limits(self) -> None:
        for asset, sold in self.sold.items():
            for soon in soon_long_term(sold, self.day, self.rates, self.policy.holding_warning_days):
                self._warn(
                    asset,
                    f"{_text(soon.sold.quantity)} units of {soon.sold.opened} with a gain of "
                    f"{_money(soon.sold.gain)} turn long-term on {soon.turns_on}, in {soon.days} days",
                )
            limit = self.policy.short_term_gain_limit
            for part in above_gain_limit(sold, limit):
                self._block(
                    asset,
                    f"short-term gain of {_money(part.gain)} on the lot of {part.opened}, "
                    f"above the limit of {_money(limit)}",
                )

    def _check_budget(self) -> None:
        budget = self.policy.yearly_gain_budget
        if budget is None:
            return
        gains = {asset: realised_gain(sold) for asset, sold in self.sold.items()}
        self.result.reasons.extend(self.known.gain_reasons)
        known = {asset: gain for asset, gain in gains.items() if gain is not None}
        if self.known.year_gain is None or len(known) < len(gains):
            for asset in gains:
                self._warn(asset, f"gains of {self.day.year} unknown, so the budget could not be checked")
            return
        for asset in beyond_budget(known, self.known.year_gain, budget):
            self._block(
                asset,
                f"gain of {_money(known[asset])} on top of {_money(self.known.year_gain)} realised in "
                f"{self.day.year}, above the budget of {_money(budget)}",
            )

    def _tax(self) -> Decimal | None:
        if not self.is_taxable:
            return NOTHING
        if len(self.sold) < sum(trade.side == "sell" for trade in self.trades):
            return None
        tax = proposal_tax(self.sold.values())
        return None if tax is None else _rounded(tax)

    def _warn(self, asset: int, text: str) -> None:
        self.result.warnings.setdefault(asset, []).append(f"{self.names[asset]}: {text}")

    def _block(self, asset: int, text: str) -> None:
        known = self.result.blocked.get(asset)
        self.result.blocked[asset] = f"{known}; {text}" if known else f"{self.names[asset]}: {text}"


def _detail(sold: Sequence[SoldLot], method: str) -> SaleDetail:
    tax, short, long = sale_tax(sold), realised_gain(sold, "short"), realised_gain(sold, "long")
    return SaleDetail(
        lots=[_lot_json(part) for part in sold if part.quantity >= DUST],
        tax=None if tax is None else _rounded(tax),
        short_gain=None if short is None else _rounded(short),
        long_gain=None if long is None else _rounded(long),
        method=method,
        disallowed=_rounded(sum((part.disallowed for part in sold), NOTHING)),
    )


def _lot_json(part: SoldLot) -> dict[str, Any]:
    """gain: as it is, before a wash sale takes part of a loss away; `disallowed` is said where it does."""
    lot = {
        "lot": part.lot,
        "opened": part.opened.isoformat(),
        "quantity": _text(part.quantity.quantize(DUST, rounding=ROUND_HALF_EVEN)),
        "cost": _money(part.cost),
        "term": part.term,
        "gain": _money(part.gain),
        "tax": _money(part.tax),
    }
    return lot | ({"disallowed": _money(part.disallowed)} if part.disallowed else {})


def _wash_json(wash: WashSale) -> dict[str, Any]:
    return {
        "sale": wash.sale.sale,
        "sold_on": wash.sale.day.isoformat(),
        "purchase": wash.purchase.name,
        "bought_on": wash.purchase.day.isoformat(),
        "quantity": _text(wash.quantity),
        "disallowed": _money(wash.disallowed),
        "basis_added": _money(wash.basis_added),
        "days_added": wash.days_added,
        "lost": wash.purchase.sheltered,
    }


def _wash_text(wash: WashSale) -> str:
    lost = ", and lost in a retirement account" if wash.purchase.sheltered else ""
    return (
        f"wash sale: {_money(wash.disallowed)} of the loss of the {wash.sale.sale} on {wash.sale.day} is "
        f"disallowed{lost}, {_text(wash.quantity)} units replaced by the {wash.purchase.name} on "
        f"{wash.purchase.day}"
    )


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(MONEY_PLACES, rounding=ROUND_HALF_EVEN)


def _money(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(_rounded(value))


def _text(value: Decimal) -> str:
    return decimal_text(value)
