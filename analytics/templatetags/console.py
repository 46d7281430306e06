"""Figures, badges and drift bars in the console's templates."""

from decimal import Decimal
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from analytics.admin.figures import EVENT_TONES, QUALITY_TONES, RISK_TONES, RUN_TONES, choice_badge
from analytics.selectors.dashboard import LineDeviation
from portfolio_site.kernel.admin import figures
from portfolios.models import Currency

register = template.Library()

# The bar is drawn on 200 units: the target in the middle, the band half way to either end.
BAR_CENTRE = 100
BAR_BAND = 50
BAR_REACH = 94
SORT_MARKS = {"": "", "ascending": " ▴", "descending": " ▾"}
TONE_WORDS = {"bad": "problem", "poor": "attention", "fair": "notice"}


@register.simple_tag
def money(row: Any, field: str, currency: Currency) -> SafeString:
    return figures.money(
        getattr(row, field), currency.code, currency.minor_units, reason=row.quality.get(field, "")
    )


@register.simple_tag
def percent(row: Any, field: str) -> SafeString:
    return figures.percent(getattr(row, field), signed=True, reason=row.quality.get(field, ""))


@register.simple_tag
def unknown(reason: str) -> SafeString:
    return figures.figure(None, reason=reason)


@register.filter
def points(value: float | None) -> SafeString:
    return figures.figure(value, unit="%")


@register.simple_tag
def risk_badge(row: Any) -> SafeString:
    if row.risk_level is None:
        return figures.figure(None, reason=row.quality.get("risk_level", ""))
    return choice_badge(row.get_risk_level_display(), row.risk_level, RISK_TONES)


@register.simple_tag
def quality_badge(row: Any) -> SafeString:
    if not row.data_quality:
        return figures.figure(None, reason="not judged yet")
    return choice_badge(row.get_data_quality_display(), row.data_quality, QUALITY_TONES)


@register.simple_tag
def tone_badge(tone: str) -> SafeString:
    return figures.badge(TONE_WORDS[tone], tone)


@register.simple_tag
def against(fraction: float | None) -> SafeString:
    """The benchmark's return, small under the portfolio's own."""
    if fraction is None:
        return SafeString("")
    return format_html('<span class="quiet aside">{}</span>', figures.percent(fraction, signed=True))


@register.filter
def in_percent(fraction: float | None) -> SafeString:
    return figures.percent(fraction, 1)


@register.filter
def whole_money(amount: Decimal, currency: str) -> SafeString:
    return figures.money(amount, currency, 0)


@register.simple_tag(takes_context=True)
def sort_head(
    context: Any, name: str, label: str, order: str, number: bool = False, unit: str = ""
) -> SafeString:
    """The heading of a column that sorts by it: largest first where it holds numbers, then the other way."""
    falls_first = number or name in ("risk", "breaches", "as_of")
    rising, falling = name, f"-{name}"
    following = falling if falls_first else rising
    state = ""
    if order in (rising, falling):
        following = rising if order == falling else falling
        state = "ascending" if order == rising else "descending"
    query = context["request"].GET.copy()
    query["order"] = following
    query.pop("page", None)
    return format_html(
        '<th scope="col"{}{}><a href="?{}">{}{}</a></th>',
        SafeString(' class="number"') if number else "",
        format_html(' aria-sort="{}"', state) if state else "",
        query.urlencode(),
        f"{label} ({unit})" if unit else label,
        SORT_MARKS[state],
    )


@register.simple_tag
def alert_url(alert: Any) -> str:
    return f"{reverse(f'admin:{alert.view}_changelist')}?{alert.query}"


@register.simple_tag
def waiting_url(waiting: Any) -> str:
    view = "rebalancingevent" if waiting.kind == "event" else "changerequest"
    return reverse(f"admin:analytics_{view}_change", args=[waiting.pk])


@register.simple_tag
def event_badge(event: Any) -> SafeString:
    return choice_badge(event.get_status_display(), event.status, EVENT_TONES)


@register.simple_tag
def run_badge(run: Any) -> SafeString:
    return choice_badge(run.get_status_display(), run.status, RUN_TONES)


@register.simple_tag
def drift_bar(line: LineDeviation) -> SafeString:
    """Where one line stands between the edges of its band, as a picture and in words."""
    distance = min(line.used * BAR_BAND, BAR_REACH)
    position = round(BAR_CENTRE + (distance if line.deviation >= 0 else -distance))
    deviation, room = figures.digits(line.deviation, 1, signed=True), figures.digits(line.room, 1)
    return format_html(
        '<svg class="drift-bar{}" viewBox="0 0 200 16" aria-hidden="true">'
        '<rect class="drift-track" x="0" y="6" width="200" height="4" rx="2"/>'
        '<rect class="drift-band" x="{}" y="6" width="{}" height="4"/>'
        '<rect class="drift-target" x="{}" y="3" width="2" height="10"/>'
        '<circle class="drift-mark" cx="{}" cy="8" r="5"/></svg>'
        '<span class="drift-words">{}</span>',
        " is-breached" if line.is_breached else "",
        BAR_CENTRE - BAR_BAND,
        2 * BAR_BAND,
        BAR_CENTRE - 1,
        position,
        f"{line.symbol} {deviation} of {room} points",
    )


@register.simple_tag
def row_count(run: Any) -> SafeString:
    return figures.figure(sum(run.rows.values()), 0)
