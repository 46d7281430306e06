"""Numbers rounded to the digits of a decimal column: one at a time exactly, or an array of floats at once."""

import math
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Beyond it a float is no longer a whole number of last digits that int64 arithmetic can be trusted with.
LARGEST_SCALED = 2.0**62
# Twice what a product of two floats, one of them the nearest to a decimal, may be off by.
PRODUCT_ERROR = 2.0**-51


def is_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float | Decimal) and not math.isfinite(value))


def rounded_decimal(value: Any, digits: int, places: int) -> Decimal | None:
    """At the column's own digits, so that what is compared is what is stored; None for what is no number."""
    if is_unknown(value):
        return None
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    context = Context(prec=digits)
    # Plus makes zero of minus zero.
    return context.plus(exact.quantize(Decimal(1).scaleb(-places), context=context))


def last_digits(value: Decimal, digits: int, places: int) -> int:
    """A rounded decimal as a whole number of its last digit."""
    return int(value.scaleb(places, Context(prec=digits)))


def floats_as_last_digits(values: NDArray[np.float64], digits: int, places: int) -> NDArray[Any]:
    """Finite floats as whole numbers of the last digit, each equal to its `rounded_decimal`.

    int64, or Python's own integers where one does not fit. A product is trusted where its error cannot reach
    the next half, or where the number is just that decimal and no other decimal of so many places is as near;
    the few that remain are rounded one by one.
    """
    scale = 10.0**places
    with np.errstate(over="ignore", invalid="ignore"):
        product = values * scale
        whole = np.rint(product)
        off = np.abs(product - whole)
    is_clear = off < 0.5 - np.abs(product) * PRODUCT_ERROR
    is_that_decimal = (whole / scale == values) & (np.abs(np.spacing(values)) < 1 / scale)
    fits = np.abs(whole) < min(LARGEST_SCALED, 10.0**digits)
    slow = np.flatnonzero(~((is_clear | is_that_decimal) & fits))
    found = np.where(fits, whole, 0.0).astype(np.int64)
    return _with_exact(found, slow, values[slow].tolist(), digits, places)


def as_floats(values: Any) -> NDArray[np.float64] | None:
    """Numbers as floats, unless exact decimals are among them or whole numbers that a float may not hold."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    if {*map(type, values)} <= {float, np.float64, type(None)}:
        return np.array(values, dtype=np.float64)
    return None


def decimals_as_last_digits(values: Iterable[Any], digits: int, places: int) -> NDArray[Any]:
    """Any numbers as whole numbers of the last digit, one by one; what is no number becomes 0."""
    values = list(values)
    return _with_exact(np.zeros(len(values), np.int64), np.arange(len(values)), values, digits, places)


def _with_exact(
    found: NDArray[np.int64], slow: NDArray[np.intp], values: list[Any], digits: int, places: int
) -> NDArray[Any]:
    if not len(slow):
        return found
    rounded = [rounded_decimal(value, digits, places) for value in values]
    exact = [0 if value is None else last_digits(value, digits, places) for value in rounded]
    if any(abs(number) >= LARGEST_SCALED for number in exact):
        found = found.astype(object)
    found[slow] = exact
    return found
