"""Reading many rows as arrays, without an object a row."""

from typing import Any

import numpy as np
from django.core.exceptions import EmptyResultSet
from django.db import connection, connections, models
from django.db.models import F, FloatField, TextField
from django.db.models.functions import Cast


def read_columns(rows: models.QuerySet[Any], *names: str) -> dict[str, np.ndarray]:
    """The named fields of a query as one array each, in the query's order.

    Decimals and floats come as float64 with NaN for NULL, dates as datetime64[D] with NaT, integers and
    foreign keys as int64 (they must not be NULL), everything else as objects.
    """
    fields = {name: rows.model._meta.get_field(name) for name in names}
    picked = {f"column_{name}": _expression(name, field) for name, field in fields.items()}
    query = rows.annotate(**picked).values_list(*picked)
    try:
        sql, parameters = query.query.sql_with_params()
    except EmptyResultSet:  # such as a filter by an empty list
        found = []
    else:
        with connections[rows.db].cursor() as cursor:
            cursor.execute(sql, parameters)
            found = cursor.fetchall()
    columns = zip(*found, strict=True) if found else [()] * len(names)
    return {name: _array(fields[name], values) for name, values in zip(names, columns, strict=True)}


def _expression(name: str, field: Any) -> Any:
    if isinstance(field, models.DecimalField):
        return Cast(F(name), FloatField())
    is_date = isinstance(field, models.DateField) and not isinstance(field, models.DateTimeField)
    if is_date and connection.vendor == "sqlite":
        # As text, which numpy reads at once; a declared date would be parsed value by value.
        return Cast(F(name), TextField())
    return F(name)


def _array(field: models.Field, values: Any) -> np.ndarray:
    if isinstance(field, models.ForeignKey):
        field = field.target_field
    if isinstance(field, models.DecimalField | models.FloatField):
        return np.array(values, dtype=np.float64)
    if isinstance(field, models.DateField) and not isinstance(field, models.DateTimeField):
        return np.array(values, dtype="datetime64[D]")
    if isinstance(field, models.IntegerField | models.AutoField):
        return np.array(values, dtype=np.int64)
    return np.array(values, dtype=object)
