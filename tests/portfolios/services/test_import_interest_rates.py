import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from portfolios.models import AuditEvent, InterestRate, StaleMark
from portfolios.services.import_interest_rates import interest_rates_import
from tests.support.imports import Refusal, counts, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

GOOD = ("date,annual_rate", "2024-01-02,0.0523", "2024-01-03,-0.00005")


def test_series_is_stored(tmp_path: Path) -> None:
    assert counts(interest_rates_import(write_file(tmp_path, *GOOD), name="DTB3")) == (2, 2, 0, 0, 0)
    assert list(InterestRate.objects.values_list("name", "annual_rate")) == [
        ("DTB3", Decimal("0.0523")),
        ("DTB3", Decimal("-0.00005")),
    ]
    mark = StaleMark.objects.get()
    assert (mark.series, mark.from_date) == ("DTB3", dt.date(2024, 1, 2))
    assert AuditEvent.objects.get().action == "interest_rates.imported"


def test_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    interest_rates_import(path, name="DTB3")
    with nothing_written():
        assert counts(interest_rates_import(path, name="DTB3")) == (2, 0, 0, 2, 0)


def test_other_series_is_another_one(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    interest_rates_import(path, name="DTB3")
    assert interest_rates_import(path, name="ESTR").created == 2


def test_correction_is_stale_from_its_day(tmp_path: Path) -> None:
    interest_rates_import(write_file(tmp_path, *GOOD), name="DTB3")
    report = interest_rates_import(write_file(tmp_path, *GOOD[:2], "2024-01-03,0.05"), name="DTB3")
    assert counts(report) == (2, 0, 1, 1, 0)
    assert StaleMark.objects.order_by("-id")[0].from_date == dt.date(2024, 1, 3)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("2024-01-04,5.23", (4, "annual_rate", "5.23", "must be a fraction of one: 0.05 is 5 %")),
        ("2024-01-04,", (4, "annual_rate", "", "must not be blank")),
        ("2024-01-04,.", (4, "annual_rate", ".", "not a number")),
        ("2999-01-04,0.05", (4, "date", "2999-01-04", "lies in the future")),
        ("2024-01-02,0.05", (4, "date", "2024-01-02", "repeats date of line 2")),
    ],
)
def test_bad_row_stops_the_file_and_skip_leaves_it_out(tmp_path: Path, line: str, refusal: Refusal) -> None:
    path = write_file(tmp_path, *GOOD, line)
    with nothing_written():
        assert refusals(interest_rates_import(path, name="DTB3")) == [refusal]
    assert counts(interest_rates_import(path, name="DTB3", on_error="skip")) == (3, 2, 0, 0, 1)
