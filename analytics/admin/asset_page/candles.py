"""One picture of an asset: its bars with averages and bands, and below them volume, RSI and MACD."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from analytics.selectors.asset_bars import PRICES, AssetBars
from portfolio_site.kernel.charts import Chart, Trace
from portfolio_site.kernel.tables import Column, Table
from portfolios.models import Asset

AVERAGES = {
    "sma_20": "SMA 20",
    "sma_50": "SMA 50",
    "sma_200": "SMA 200",
    "ema_12": "EMA 12",
    "ema_26": "EMA 26",
}
# The outer of two averages that tell the same are drawn when the reader asks for them.
ON_DEMAND = ("sma_20", "ema_12", "ema_26")
BANDS = {"bollinger_upper": "Bollinger upper", "bollinger_lower": "Bollinger lower"}
BELOW = {"rsi_14": "RSI 14", "macd": "MACD", "macd_signal": "MACD signal", "macd_histogram": "MACD histogram"}
NAMES = {**AVERAGES, **BANDS, **BELOW}
INDICATORS = tuple(NAMES)
OVERBOUGHT, OVERSOLD = 70, 30
FRIDAY = 5


def price_chart(asset: Asset, found: AssetBars, words: str) -> Chart:
    days = np.datetime_as_string(found.days).tolist()
    return Chart(
        slug="prices",
        title=f"Prices, {words}",
        summary=_summary(asset, found),
        traces=_traces(days, found),
        layout=_layout(asset, found),
        height=720,
        wide=True,
        table=_table(asset, found),
    )


def _summary(asset: Asset, found: AssetBars) -> str:
    if not len(found):
        return "There are no prices."
    close, low, high = found.bars["close"], found.bars["low"], found.bars["high"]
    lowest = np.nanmin(np.fmin(low, close))
    highest = np.nanmax(np.fmax(high, close))
    words = (
        f"{asset.symbol} closed at {close[-1]:,.2f} {asset.currency_id} on {found.days[-1]}, "
        f"{close[-1] / close[0] - 1:+.1%} since {found.days[0]}; it stood between {lowest:,.2f} and "
        f"{highest:,.2f}."
    )
    rsi = found.indicators["rsi_14"][-1]
    if np.isfinite(rsi):
        words += f" RSI {rsi:.0f}{_state(rsi)}."
    return words


def _state(rsi: float) -> str:
    if rsi > OVERBOUGHT:
        return f", above {OVERBOUGHT}: overbought"
    return f", below {OVERSOLD}: oversold" if rsi < OVERSOLD else ""


def _traces(days: list[str], found: AssetBars) -> list[Trace]:
    candles: Trace = {
        "type": "candlestick", "name": "Price", "x": days, "showlegend": False,
        "increasing": {"line": {"color": "--positive", "width": 1}},
        "decreasing": {"line": {"color": "--negative", "width": 1}},
        **{name: _whole_bar(found.bars, name) for name in PRICES},
    }  # fmt: skip
    drawn = found.indicators
    bands = [
        _line(days, drawn["bollinger_upper"], "Bollinger bands", "--chart-8", dash="dot",
              legendgroup="bands"),
        _line(days, drawn["bollinger_lower"], "Bollinger lower", "--chart-8", dash="dot", legendgroup="bands",
              showlegend=False),
    ]  # fmt: skip
    averages = [
        _line(days, drawn[name], label, f"--chart-{place}",
              visible="legendonly" if name in ON_DEMAND else True)
        for place, (name, label) in enumerate(AVERAGES.items(), start=1)
    ]  # fmt: skip
    return [candles, *bands, *averages, *_rows_below(days, found)]


def _whole_bar(bars: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Plotly leaves out a candle that lacks a price: one that was not published is drawn at the close."""
    return np.where(np.isnan(bars[name]), bars["close"], bars[name])


def _rows_below(days: list[str], found: AssetBars) -> list[Trace]:
    drawn = found.indicators
    rises = drawn["macd_histogram"] >= 0
    return [
        {
            "type": "bar", "name": "Volume", "x": days, "y": found.bars["volume"], "yaxis": "y2",
            "marker": {"color": "--chart-8"}, "showlegend": False,
        },
        _line(days, drawn["rsi_14"], "RSI 14", "--chart-4", yaxis="y3", showlegend=False),
        {
            "type": "bar", "name": "MACD histogram", "x": days, "y": drawn["macd_histogram"], "yaxis": "y4",
            "marker": {"color": ["--positive" if up else "--negative" for up in rises.tolist()]},
            "showlegend": False,
        },
        _line(days, drawn["macd"], "MACD", "--chart-1", yaxis="y4", showlegend=False),
        _line(days, drawn["macd_signal"], "Signal", "--chart-2", yaxis="y4", dash="dot", showlegend=False),
    ]  # fmt: skip


def _line(days: list[str], values: np.ndarray, name: str, colour: str, **more: Any) -> Trace:
    line = {"color": colour, "width": 1.5, "dash": more.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "name": name, "x": days, "y": values, "line": line, **more}


def _layout(asset: Asset, found: AssetBars) -> dict[str, Any]:
    weekdays = (found.days.astype("datetime64[D]").view("int64") + 3) % 7
    closed = [] if (weekdays >= FRIDAY).any() else [{"bounds": ["sat", "mon"]}]
    level: dict[str, Any] = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y3"}
    return {
        "xaxis": {"rangeslider": {"visible": False}, "rangebreaks": closed, "anchor": "y4"},
        "yaxis": {"domain": [0.47, 1], "title": {"text": asset.currency_id}},
        "yaxis2": {"domain": [0.34, 0.44], "title": {"text": "Volume"}, "nticks": 3},
        "yaxis3": {"domain": [0.18, 0.31], "title": {"text": "RSI"}, "range": [0, 100], "dtick": 50},
        "yaxis4": {"domain": [0, 0.15], "title": {"text": "MACD"}, "nticks": 4},
        "legend": {"orientation": "h", "y": -0.05, "x": 0},
        "shapes": [
            {
                **level,
                "y0": value,
                "y1": value,
                "line": {"color": "--border-color", "dash": "dot", "width": 1},
            }
            for value in (OVERSOLD, OVERBOUGHT)
        ],
    }


def _table(asset: Asset, found: AssetBars) -> Table:
    prices = [Column(name.capitalize(), "number", 2, asset.currency_id) for name in PRICES]
    columns = [Column("Day", "date"), *prices, Column("Volume", "number", 0)]
    columns += [Column(label, "number", 4 if name.startswith("macd") else 2) for name, label in NAMES.items()]
    series = [*found.bars.values(), *found.indicators.values()]
    cells = [[None if np.isnan(value) else value for value in values.tolist()] for values in series]
    rows = [list(row) for row in zip(found.days.tolist(), *cells, strict=True)]
    return Table(
        "prices",
        "Prices and indicators",
        columns,
        rows[::-1],
        empty="There are no prices: import some.",
        note="Adjusted for splits; volume in shares of today.",
    )
