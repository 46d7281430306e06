"""One line's weight against its target, limits and band: a picture on screens, words in files."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from analytics.services.allocation_analysis import AllocationLine
from portfolio_site.kernel.admin.figures import MINUS, badge, digits

# A bar is drawn on so many units; a little is left free at either end.
WIDTH, MARGIN = 200, 4
STEPS = (5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100)


class Drawn(str):
    """A text that is a picture on screens."""

    picture: SafeString

    def __new__(cls, words: str, picture: SafeString) -> "Drawn":
        text = super().__new__(cls, words)
        text.picture = picture
        return text

    def __html__(self) -> SafeString:
        return self.picture


@dataclass(frozen=True)
class Scale:
    """From which to which percentage every bar of a table runs."""

    low: float
    high: float

    def place(self, percentage: float) -> float:
        inside = min(max(percentage, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 2)

    def __str__(self) -> str:
        return f"{self.low:.0f} to {self.high:.0f} %".replace("-", MINUS)


def scale_of(lines: Iterable[AllocationLine], cash: float | None) -> Scale:
    """The same for all lines, so that they can be compared. A limit of 100 alone does not stretch it."""
    reached = [0.0, cash or 0.0]
    for line in lines:
        reached.append(float(line.weight or 0))
        if line.allocation:
            band = line.band
            reached += [float(band.target), *(float(x) for x in (band.upper, band.maximum) if x < 100)]
    high, low = max(reached), min(reached)
    return Scale(_step(-low) * -1.0 if low < 0 else 0.0, _step(high))


def _step(reached: float) -> float:
    return next((float(step) for step in STEPS if reached <= step), reached)


def weight_bar(line: AllocationLine, scale: Scale) -> Drawn:
    """Unknown weights are left out; words and picture say the rest."""
    weight = None if line.weight is None else float(line.weight)
    if line.allocation is None:
        return bar(line.asset.symbol, scale, weight, None, None, None, False)
    band, breached = line.band, bool(line.drift and line.drift.breached)
    limits = float(band.minimum), float(band.maximum)
    inside = float(band.lower), float(band.upper)
    return bar(line.asset.symbol, scale, weight, float(band.target), limits, inside, breached)


def bar(
    symbol: str,
    scale: Scale,
    weight: float | None,
    target: float | None,
    limits: tuple[float, float] | None,
    band: tuple[float, float] | None,
    breached: bool,
) -> Drawn:
    words = [f"{symbol}: weight {'not known' if weight is None else f'{_percent(weight)} %'}"]
    shapes = [format_html('<rect class="wb-track" x="0" y="9" width="{}" height="4" rx="2"/>', WIDTH)]
    if limits is not None and band is not None:
        words += [f"min {_percent(limits[0])}, max {_percent(limits[1])}",
                  f"band {_percent(band[0])} to {_percent(band[1])}"]  # fmt: skip
        left, right = scale.place(band[0]), scale.place(band[1])
        shapes.append(
            format_html(
                '<rect class="wb-band" x="{}" y="3" width="{}" height="16"/>', left, round(right - left, 2)
            )
        )
    if weight is not None:
        start, end = sorted((scale.place(0), scale.place(weight)))
        shapes.append(
            format_html(
                '<rect class="wb-weight" x="{}" y="8" width="{}" height="6"/>', start, round(end - start, 2)
            )
        )
    if limits is not None:
        shapes += [_limit(scale, limits[0], 3), _limit(scale, limits[1], -3)]
    if target is not None:
        words.insert(1, f"target {_percent(target)}")
        shapes.append(
            format_html(
                '<rect class="wb-target" x="{}" y="1" width="2" height="20"/>',
                round(scale.place(target) - 1, 2),
            )
        )
    if breached:
        words.append("outside its band")
    text = ", ".join(words)
    return Drawn(
        text,
        format_html(
            '<svg class="weight-bar{}" viewBox="0 0 {} 22" role="img" aria-label="{}">{}</svg>',
            " is-breached" if breached else "",
            WIDTH,
            text,
            format_html_join("", "{}", ((shape,) for shape in shapes)),
        ),
    )


def _limit(scale: Scale, at: float, arm: int) -> SafeString:
    """A bracket that opens towards what is allowed; one beyond the scale is not drawn."""
    if not scale.low <= at <= scale.high:
        return SafeString("")
    place = scale.place(at)
    return format_html(
        '<path class="wb-limit" d="M{} 2H{}V20H{}"/>', round(place + arm, 2), place, round(place + arm, 2)
    )


def _percent(value: float) -> str:
    return digits(value, 2, least_places=0)


def state_badge(text: str, tone: str) -> Drawn:
    return Drawn(text, badge(text, tone))
