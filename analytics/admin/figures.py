"""Columns of computed figures with the names that the trade uses for them."""

from typing import Any

from django.utils.safestring import SafeString

from portfolio_site.kernel.admin import document_column, money_column, number_column, percent_column
from portfolio_site.kernel.admin.columns import Column
from portfolio_site.kernel.admin.figures import badge
from portfolio_site.kernel.tables import Unknown

Fieldset = tuple[str, Any]

BASE_CURRENCY = "portfolio.base_currency"

LABELS = {
    "concentration_hhi": "concentration (HHI)",
    "money_weighted_return": "money-weighted return",
    "realized_fx_pnl": "realized P&L by exchange rates",
    "realized_pnl": "realized P&L",
    "return_ytd": "return YTD",
    "r_squared": "R²",
    "transferred_pnl": "unrealized P&L transferred",
    "twr_index": "time-weighted index",
    "unrealized_pnl": "unrealized P&L",
}
_WORDS = {
    "var": "VaR",
    "cvar": "CVaR",
    "95": "95%",
    "99": "99%",
    "1d": "1 day",
    "20d": "20 days",
    "60d": "60 days",
    "1m": "1 month",
    "3m": "3 months",
    "6m": "6 months",
    "1y": "1 year",
    "3y": "3 years",
    "5y": "5 years",
    "ema": "EMA",
    "macd": "MACD",
    "obv": "OBV",
    "rsi": "RSI",
    "sma": "SMA",
    "atr": "ATR",
    "fx": "FX",
    "p": "p",
    "q": "q",
}


def known_or_why(row: Any, name: str) -> Any:
    """A figure of a computed row for the cell of a table, or why there is none."""
    value = getattr(row, name)
    return Unknown(row.quality.get(name, "not known")) if value is None else value


def label(field: str) -> str:
    return LABELS.get(field) or " ".join(_WORDS.get(word, word) for word in field.split("_"))


def amounts(*fields: str, signed: bool = False) -> tuple[Column, ...]:
    """Money of a portfolio, in its base currency."""
    return tuple(money_column(field, BASE_CURRENCY, label=label(field), signed=signed) for field in fields)


def percents(*fields: str, signed: bool = False) -> tuple[Column, ...]:
    return tuple(percent_column(field, label=label(field), signed=signed) for field in fields)


def ratios(*fields: str, places: int = 2) -> tuple[Column, ...]:
    return tuple(number_column(field, places, label=label(field)) for field in fields)


PROVENANCE: Fieldset = (
    "Origin",
    {"fields": ("run", "engine_version", "inputs_hash"), "classes": ("collapse",)},
)
QUALITY: Fieldset = (
    "Missing, or to be read with care",
    {"fields": (document_column("quality", label="reasons"),)},
)

RISK_TONES = {"very_low": "good", "low": "good", "medium": "fair", "high": "poor", "very_high": "bad"}
RUN_TONES = {"queued": "calm", "running": "busy", "succeeded": "good", "partial": "fair", "failed": "bad"}
QUALITY_TONES = {
    "complete": "good",
    "carried": "calm",
    "at_cost": "fair",
    "missing_fx": "bad",
    "blocked": "bad",
}
EVENT_TONES = {
    "pending": "fair",
    "approved": "busy",
    "executing": "busy",
    "completed": "good",
    "failed": "bad",
}


def choice_badge(text: str, value: str | None, tones: dict[str, str]) -> SafeString:
    return badge(text, tones.get(value or "", "calm"))
