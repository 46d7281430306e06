"""Figures as HTML: digits grouped, negatives signed and marked, the unknown as a dash that says why."""

from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

Number = Decimal | float | int

MINUS = "\N{MINUS SIGN}"
UNKNOWN = "\N{EN DASH}"


def digits(value: Number, places: int, *, least_places: int | None = None, signed: bool = False) -> str:
    """`value` with thousands separators. With `least_places`, zeros behind that many decimals are dropped."""
    text = f"{abs(value):,.{places}f}"
    is_zero = not any(digit in text for digit in "123456789")
    if least_places is not None and places > least_places:
        whole, decimals = text.split(".")
        decimals = decimals.rstrip("0").ljust(least_places, "0")
        text = f"{whole}.{decimals}" if decimals else whole
    if is_zero:
        return text
    if value < 0:
        return MINUS + text
    return f"+{text}" if signed else text


def figure(
    value: Number | None,
    places: int = 2,
    *,
    least_places: int | None = None,
    signed: bool = False,
    unit: str = "",
    reason: str = "",
) -> SafeString:
    """One number for a cell; `reason` says why there is none."""
    if value is None:
        return format_html(
            '<span class="figure unknown" title="{}">{}</span>', reason or "not known", UNKNOWN
        )
    text = digits(value, places, least_places=least_places, signed=signed)
    sign = " negative" if text.startswith(MINUS) else ""
    if unit == "%":
        text += unit
    elif unit:
        return format_html('<span class="figure{}">{} <span class="unit">{}</span></span>', sign, text, unit)
    return format_html('<span class="figure{}">{}</span>', sign, text)


def money(
    value: Number | None, currency: str, places: int = 2, *, signed: bool = False, reason: str = ""
) -> SafeString:
    return figure(value, places, signed=signed, unit=currency, reason=reason)


def percent(
    fraction: Number | None, places: int = 2, *, signed: bool = False, reason: str = ""
) -> SafeString:
    """A fraction shown in percent: 0.0123 is 1.23%."""
    scaled = None if fraction is None else fraction * 100
    return figure(scaled, places, signed=signed, unit="%", reason=reason)


def badge(text: str, kind: str) -> SafeString:
    """A coloured label that also says in words what its colour means."""
    return format_html('<span class="badge badge-{}">{}</span>', kind, text)
