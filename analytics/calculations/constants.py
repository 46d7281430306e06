"""The numbers every figure is built on: sessions, windows and minimum samples."""

from typing import Final

ENGINE_VERSION: Final = "3"

SESSIONS_PER_YEAR: Final = 252
SESSIONS_PER_MONTH: Final = 21
WEEKS_PER_YEAR: Final = 52
DAYS_PER_YEAR: Final = 365

# Returns a row of portfolio_risk_metrics looks back on.
RISK_WINDOW: Final = 756

# Minimum samples: below them a figure is unknown.
MIN_RETURNS_VOLATILITY: Final = 20
MIN_REGRESSION: Final = 60
MIN_RISK_ROW: Final = 60
MIN_VAR_95: Final = 100
MIN_VAR_99: Final = 250
MIN_TAIL_95: Final = 5
MIN_TAIL_99: Final = 2
MIN_MONTHLY_VAR: Final = 252

# Common returns of a pair behind each correlation column.
CORRELATION_WINDOWS: Final = {
    "correlation_1m": 21,
    "correlation_3m": 63,
    "correlation_6m": 126,
    "correlation_1y": 252,
    "correlation_3y": 756,
    "rolling_20d": 20,
    "rolling_60d": 60,
}

# A return is a ratio close to 1 less 1, so it carries rounding of about 1e-16. A spread, a drawdown or a
# beta below this is that rounding and counts as zero.
ROUNDING_NOISE: Final = 1e-12
