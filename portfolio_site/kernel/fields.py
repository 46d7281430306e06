"""Decimal columns with one precision each, so that every table agrees on digits.

Quantities keep 12 decimals, prices and rates 10, money 6. PostgreSQL stores them exactly; SQLite keeps
about 15 significant digits.
"""

from typing import Any

from django.db import models

MONEY_DIGITS, MONEY_PLACES = 24, 6
PRICE_DIGITS, PRICE_PLACES = 24, 10
QUANTITY_DIGITS, QUANTITY_PLACES = 30, 12
PERCENT_DIGITS, PERCENT_PLACES = 9, 6


def money_field(**options: Any) -> models.DecimalField:
    return models.DecimalField(max_digits=MONEY_DIGITS, decimal_places=MONEY_PLACES, **options)


def price_field(**options: Any) -> models.DecimalField:
    return models.DecimalField(max_digits=PRICE_DIGITS, decimal_places=PRICE_PLACES, **options)


def quantity_field(**options: Any) -> models.DecimalField:
    return models.DecimalField(max_digits=QUANTITY_DIGITS, decimal_places=QUANTITY_PLACES, **options)


def percent_field(**options: Any) -> models.DecimalField:
    return models.DecimalField(max_digits=PERCENT_DIGITS, decimal_places=PERCENT_PLACES, **options)
