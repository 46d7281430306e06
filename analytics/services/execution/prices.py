"""What assets and currencies are worth when orders are carried out."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from django.conf import settings

from analytics.services.allocation_analysis import PRICE_PLACES
from portfolio_site.kernel import clock
from portfolios.models import Asset, Portfolio
from portfolios.selectors.market_data import bars_of, exchange_rates_to, latest_trading_day

ONE = Decimal(1)


@dataclass(frozen=True)
class Market:
    """Last closes by asset, in its currency, and base currency per unit by currency, as of the end of a day.

    What is missing or too old is left out.
    """

    day: dt.date
    closes: Mapping[int, Decimal]
    rates: Mapping[str, Decimal]

    def price(self, asset: Asset) -> Decimal | None:
        """In base currency, as proposals count it."""
        close, rate = self.closes.get(asset.pk), self.rates.get(asset.currency_id)
        return None if close is None or rate is None else (close * rate).quantize(PRICE_PLACES)


def execution_day() -> dt.date | None:
    """The day of the last close."""
    return latest_trading_day(clock.today())


def market_on(
    portfolio: Portfolio, assets: Iterable[Asset], day: dt.date, currencies: Iterable[str] = ()
) -> Market:
    """Closes of the assets and the rates of their currencies and of others, carried up to the day."""
    wanted = list(assets)
    moment = np.datetime64(day)
    closes = {}
    for asset_id, bars in bars_of([asset.pk for asset in wanted], day).items():
        carried = bars.carried_close(moment)
        if carried is not None and carried[0] > 0 and carried[1] <= settings.PRICE_STALE_DAYS:
            closes[asset_id] = Decimal(repr(carried[0])).quantize(PRICE_PLACES)
    base = portfolio.base_currency_id
    rates = {base: ONE}
    codes = {*currencies, *(asset.currency_id for asset in wanted)}
    for code, (dates, values) in exchange_rates_to(base, codes, day).items():
        place = int(np.searchsorted(dates, moment, side="right")) - 1
        if place >= 0 and (moment - dates[place]).astype(int) <= settings.FX_MAX_CARRY_DAYS:
            rates[code] = Decimal(repr(float(values[place])))
    return Market(day, closes, rates)
