"""Each portfolio beside each of its benchmarks, by ordinary least squares and by formula."""

import empyrical
import numpy as np
import pytest
import statsmodels.api as sm

from tests.support.demo_files import CODES, LAST_DAY, benchmark_symbols
from tests.support.demo_house import DEMO_MARKS, DemoHouse
from tests.support.oracle_series import portfolio_series

pytestmark = DEMO_MARKS

WINDOW = 756
PAIRS = [(code, symbol) for code in CODES for symbol in benchmark_symbols(code)]


@pytest.mark.parametrize(("code", "symbol"), PAIRS)
def test_benchmark_figures(demo_house: DemoHouse, code: str, symbol: str) -> None:
    rows = demo_house.of("benchmarks", portfolio=code, asset=symbol)
    assert len(rows) == 1
    row = rows.iloc[0]
    series = portfolio_series(code)
    r, f, b = (x[-WINDOW:] for x in (series.returns, series.risk_free, series.benchmarks[symbol]))
    common = ~np.isnan(b)
    r, f, b = r[common], f[common], b[common]
    fit = sm.OLS(r - f, sm.add_constant(b - f)).fit()
    active = r - b
    error = np.std(active, ddof=1) * np.sqrt(252)
    correlation = np.corrcoef(r, b)[0, 1]
    expected = {
        "tracking_error": error,
        "information_ratio": active.mean() * 252 / error,
        "beta": fit.params[1],
        "alpha": fit.params[0] * 252,
        "excess_return": active.mean() * 252,
        "correlation": correlation,
        "r_squared": sm.OLS(r, sm.add_constant(b)).fit().rsquared,
        "up_capture": empyrical.up_capture(r, b),
        "down_capture": empyrical.down_capture(r, b),
        "window": len(r),
    }
    for name, figure in expected.items():
        assert row[name] == pytest.approx(figure, rel=1e-9, abs=1e-12), name
    assert row["calculation_date"] == LAST_DAY.date()
    assert row["is_primary"] == benchmark_symbols(code)[symbol]


@pytest.mark.parametrize(("code", "symbol"), PAIRS)
def test_a_price_index_is_named_as_one(demo_house: DemoHouse, code: str, symbol: str) -> None:
    row = demo_house.of("benchmarks", portfolio=code, asset=symbol).iloc[0]
    assert ("price index" in row["quality"].get("benchmark", "")) == (symbol != "SPYTR")
