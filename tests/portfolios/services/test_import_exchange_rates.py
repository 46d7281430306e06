import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from portfolios.models import AuditEvent, ExchangeRate, ImportBatch, StaleMark
from portfolios.services.import_exchange_rates import exchange_rates_import
from tests.support.imports import Refusal, counts, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

LONG = ("date,base,quote,rate", "2024-01-02,EUR,USD,1.0956", "2024-01-03,USD,JPY,142.85")
WIDE = ("Date,USD,JPY,", "2024-01-03,1.0919,155.9,", "2024-01-02,1.0956,N/A,", "2024-01-01,,,")


def rates() -> list[tuple[str, str, str, Decimal]]:
    rows = ExchangeRate.objects.order_by("date", "quote").values_list("date", "base", "quote", "rate")
    return [(day.isoformat(), base, quote, rate) for day, base, quote, rate in rows]


def marks() -> dict[str, str]:
    return {code: day.isoformat() for code, day in StaleMark.objects.values_list("currency", "from_date")}


def test_long_layout(tmp_path: Path) -> None:
    report = exchange_rates_import(write_file(tmp_path, *LONG), source="TEST")
    assert counts(report) == (2, 2, 0, 0, 0)
    assert rates() == [
        ("2024-01-02", "EUR", "USD", Decimal("1.0956")),
        ("2024-01-03", "USD", "JPY", Decimal("142.85")),
    ]
    assert marks() == {"EUR": "2024-01-02", "JPY": "2024-01-03", "USD": "2024-01-02"}
    assert set(ExchangeRate.objects.values_list("source", flat=True)) == {"TEST"}
    assert AuditEvent.objects.get().action == "exchange_rates.imported"


def test_ecb_layout_counts_cells(tmp_path: Path) -> None:
    report = exchange_rates_import(write_file(tmp_path, *WIDE))
    assert counts(report) == (3, 3, 0, 0, 0)
    assert rates() == [
        ("2024-01-02", "EUR", "USD", Decimal("1.0956")),
        ("2024-01-03", "EUR", "JPY", Decimal("155.9")),
        ("2024-01-03", "EUR", "USD", Decimal("1.0919")),
    ]
    assert ImportBatch.objects.get().layout == "ecb"


@pytest.mark.parametrize("lines", [LONG, WIDE])
def test_same_file_again_changes_nothing(tmp_path: Path, lines: tuple[str, ...]) -> None:
    path = write_file(tmp_path, *lines)
    first = exchange_rates_import(path)
    with nothing_written():
        again = exchange_rates_import(path)
    assert counts(again) == (first.read, 0, 0, first.created, 0)


def test_correction_is_stale_from_its_day(tmp_path: Path) -> None:
    exchange_rates_import(write_file(tmp_path, *WIDE))
    StaleMark.objects.all().delete()
    corrected = [line.replace("1.0919", "1.0920") for line in WIDE]
    assert counts(exchange_rates_import(write_file(tmp_path, *corrected))) == (3, 0, 1, 2, 0)
    assert marks() == {"EUR": "2024-01-03", "USD": "2024-01-03"}
    assert ExchangeRate.objects.get(quote="USD", date=dt.date(2024, 1, 3)).rate == Decimal("1.092")


@pytest.mark.parametrize(
    ("lines", "refusal"),
    [
        ((*LONG, "2024-01-04,EUR,USD,0"), (4, "rate", "0", "must be above 0")),
        ((*LONG, "2024-01-04,EUR,USD,"), (4, "rate", "", "must not be blank")),
        ((*LONG, "2024-01-04,EUR,USD,1/2"), (4, "rate", "1/2", "not a number")),
        ((*LONG, "2024-01-04,EUR,EUR,1"), (4, "quote", "EUR", "the same currency as base")),
        ((*LONG, "2024-01-04,EUR,XXX,1"), (4, "quote", "XXX", "unknown currency")),
        ((*LONG, "2024-01-04,,USD,1"), (4, "base", "", "must not be blank")),
        ((*LONG, "2999-01-04,EUR,USD,1"), (4, "date", "2999-01-04", "lies in the future")),
        ((*LONG, LONG[1]), (4, "date", "2024-01-02", "repeats base and quote and date of line 2")),
        ((*WIDE, "2024-01-04,1.1,-2,"), (5, "JPY", "-2", "must be above 0")),
        ((*WIDE, WIDE[2]), (5, "date", "2024-01-02", "repeats base and quote and date of line 3")),
        (("date,USD,QQQ", "2024-01-02,1,1"), (1, "QQQ", "QQQ", "unknown currency")),
        (("date,USD,USD", "2024-01-02,1,1"), (1, "usd", "usd", "this column stands there twice")),
        (("date,base,quote", "2024-01-02,EUR,USD"), (1, "rate", "", "this column is missing")),
        (("date,rate", "2024-01-02,1"), (1, "base", "", "this column is missing")),
    ],
)
def test_bad_row_stops_the_file(tmp_path: Path, lines: tuple[str, ...], refusal: Refusal) -> None:
    with nothing_written():
        report = exchange_rates_import(write_file(tmp_path, *lines))
    assert refusals(report)[0] == refusal


def test_skip_leaves_out_one_cell(tmp_path: Path) -> None:
    report = exchange_rates_import(write_file(tmp_path, *WIDE, "2024-01-04,1.1,x,"), on_error="skip")
    assert counts(report) == (5, 4, 0, 0, 1)
    assert [(code, rate) for day, _, code, rate in rates() if day == "2024-01-04"] == [
        ("USD", Decimal("1.1"))
    ]
