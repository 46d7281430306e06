"""Lines over time as a picture for paper, where no script runs."""

from collections.abc import Sequence

import numpy as np
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, MARGIN = 640, 200, 40
MOST_POINTS = 400
COLOURS = ("#1b5f82", "#b5560b", "#2c7a4b", "#8a3b8f")
DASHES = ("none", "5 3", "2 2", "8 3 2 3")


def line_picture(days: np.ndarray, series: Sequence[tuple[str, np.ndarray]], words: str) -> SafeString:
    """SVG of one line a series over the days; NaN is a gap. `words` say what is to be seen."""
    known = [values[np.isfinite(values)] for _, values in series]
    if not any(len(values) for values in known):
        return SafeString("")
    low, high = min(v.min() for v in known if len(v)), max(v.max() for v in known if len(v))
    span = float(high - low) or 1.0
    places = np.unique(np.linspace(0, len(days) - 1, min(len(days), MOST_POINTS)).astype(int))
    xs = MARGIN + (WIDTH - MARGIN) * places / max(len(days) - 1, 1)
    lines = [
        (_path(xs, HEIGHT - 20 - (HEIGHT - 40) * (values[places] - low) / span), *look)
        for (_, values), look in zip(series, zip(COLOURS, DASHES, strict=True), strict=False)
    ]
    return format_html(
        '<svg class="picture" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        WIDTH + 10,
        HEIGHT + 30,
        words,
        format_html_join(
            "",
            '<path d="{}" fill="none" stroke="{}" stroke-width="1.6" stroke-dasharray="{}"/>',
            lines,
        ),
        format_html_join("", '<text x="{}" y="{}" font-size="11">{}</text>', _labels(days, low, high)),
        format_html_join(
            "",
            '<text x="{}" y="{}" font-size="11" fill="{}">{}</text>',
            [
                (MARGIN + 130 * place, HEIGHT + 24, COLOURS[place], f"— {name}")
                for place, (name, _) in enumerate(series[: len(COLOURS)])
            ],
        ),
    )


def _path(xs: np.ndarray, ys: np.ndarray) -> str:
    steps, pen_is_down = [], False
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if np.isfinite(y):
            steps.append(f"{'L' if pen_is_down else 'M'}{x:.1f} {y:.1f}")
        pen_is_down = bool(np.isfinite(y))
    return " ".join(steps)


def _labels(days: np.ndarray, low: float, high: float) -> list[tuple[float, float, str]]:
    return [
        (0, 24, f"{high:.1f}"),
        (0, HEIGHT - 16, f"{low:.1f}"),
        (MARGIN, HEIGHT, str(days[0])),
        (WIDTH - 60, HEIGHT, str(days[-1])),
    ]
