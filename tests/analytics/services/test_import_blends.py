import datetime as dt
from pathlib import Path

import pytest

from analytics.models import BlendComponent, BlendedBenchmark
from analytics.services.import_benchmarks import benchmarks_import
from analytics.services.import_blends import blends_import
from portfolios.models import Asset, AuditEvent, StaleMark
from tests.support.factories import make_asset, make_portfolio, make_price, make_transaction
from tests.support.imports import counts, nothing_written, refusals, write_file

pytestmark = pytest.mark.django_db

HEADER = "blend,symbol,weight_percentage,rebalance_frequency"
GOOD = (HEADER, "MIX,SPX,60,monthly", "MIX,AGG,40,Monthly", "ONE,SPX,100,none")


@pytest.fixture(autouse=True)
def assets() -> None:
    make_asset("SPX", asset_class="index")
    make_asset("AGG", asset_class="etf")
    make_asset("DAX", asset_class="index", currency="EUR")


def weights(symbol: str = "MIX") -> dict[str, float]:
    parts = BlendComponent.objects.filter(blend__asset__symbol=symbol)
    return {part.asset.symbol: float(part.weight_percentage) for part in parts}


def test_blends_are_stored_with_their_assets(tmp_path: Path) -> None:
    assert counts(blends_import(write_file(tmp_path, *GOOD))) == (3, 3, 0, 0, 0)
    assert (weights("MIX"), weights("ONE")) == ({"SPX": 60, "AGG": 40}, {"SPX": 100})
    asset = Asset.objects.get(symbol="MIX")
    assert (asset.name, asset.currency_id, asset.asset_class) == ("MIX", "USD", "index")
    blend = BlendedBenchmark.objects.get(asset=asset)
    assert (blend.rebalance_frequency, blend.start_date) == ("monthly", None)
    actions = AuditEvent.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["blend.created", "blend.created", "blends.imported"]


def test_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, *GOOD)
    blends_import(path)
    with nothing_written():
        assert counts(blends_import(path)) == (3, 0, 0, 3, 0)


def test_a_blend_is_a_benchmark_like_any_other_and_a_new_rule_makes_stale(tmp_path: Path) -> None:
    blends_import(write_file(tmp_path, *GOOD))
    make_transaction(make_portfolio("P1"), trade_date=dt.date(2024, 1, 2))
    lines = ("portfolio,symbol,is_primary", "P1,MIX,1", "P1,ONE,0")
    assert benchmarks_import(write_file(tmp_path, *lines)).created == 2
    StaleMark.objects.all().delete()
    changed = write_file(tmp_path, *(line.replace("40,Monthly", "40,weekly") for line in GOOD))
    with nothing_written():
        assert refusals(blends_import(changed)) == [
            (3, "rebalance_frequency", "weekly", "line 2 says monthly for MIX")
        ]
    changed = write_file(tmp_path, HEADER, "MIX,SPX,60,weekly", "MIX,AGG,40,weekly")
    assert counts(blends_import(changed)) == (2, 0, 2, 0, 0)
    assert list(StaleMark.objects.values_list("portfolio__code", "from_date", "cause")) == [
        ("P1", dt.date(2024, 1, 2), "parameter")
    ]


def test_components_that_the_file_does_not_name_end(tmp_path: Path) -> None:
    blends_import(write_file(tmp_path, *GOOD))
    report = blends_import(write_file(tmp_path, HEADER, "MIX,SPX,100,monthly"))
    assert counts(report) == (1, 0, 1, 0, 0)
    assert report.notes == ["MIX: AGG is no component any more"]
    assert (weights("MIX"), weights("ONE")) == ({"SPX": 100}, {"SPX": 100})


def test_name_currency_and_start_stand_once_and_blank_cells_leave_what_is_stored(tmp_path: Path) -> None:
    header = HEADER + ",name,currency,start_date"
    lines = ("MIX,SPX,60,monthly,The mix,CHF,2024-01-02", "MIX,DAX,40,monthly,,,")
    blends_import(write_file(tmp_path, header, *lines))
    with nothing_written():
        blends_import(write_file(tmp_path, HEADER, "MIX,SPX,60,monthly", "MIX,DAX,40,monthly"))
    asset = Asset.objects.get(symbol="MIX")
    assert (asset.name, asset.currency_id) == ("The mix", "CHF")
    assert BlendedBenchmark.objects.get().start_date == dt.date(2024, 1, 2)
    lines = (lines[0], "MIX,DAX,40,monthly,Another,,")
    with nothing_written():
        assert refusals(blends_import(write_file(tmp_path, header, *lines))) == [
            (3, "name", "Another", "line 2 says The mix for MIX")
        ]


@pytest.mark.parametrize(
    ("line", "column", "value", "reason"),
    [
        (",AGG,40,monthly", "blend", "", "must not be blank"),
        ("M X,AGG,40,monthly", "blend", "M X", "must not hold a blank"),
        ("MIX,ZZZ,40,monthly", "symbol", "ZZZ", "unknown symbol"),
        ("MIX,SPX,40,monthly", "symbol", "SPX", "repeats blend and symbol of line 2"),
        ("MIX,OLD,40,monthly", "symbol", "OLD", "is itself a blend"),
        ("MIX,AGG,,monthly", "weight_percentage", "", "must not be blank"),
        ("MIX,AGG,0,monthly", "weight_percentage", "0", "must be above 0"),
        ("MIX,AGG,101,monthly", "weight_percentage", "101", "above 100"),
        ("MIX,AGG,40,daily", "rebalance_frequency", "daily", "line 2 says monthly for MIX"),
        ("MIX,AGG,40,", "rebalance_frequency", "", "must not be blank"),
    ],
)
def test_a_bad_row_stops_the_file_and_skip_leaves_its_blend_out(
    tmp_path: Path, line: str, column: str, value: str, reason: str
) -> None:
    blends_import(write_file(tmp_path, HEADER, "OLD,SPX,100,none"))
    path = write_file(tmp_path, HEADER, "MIX,SPX,60,monthly", line, "ONE,SPX,100,none")
    with nothing_written():
        assert (3, column, value, reason) in refusals(blends_import(path))
    report = blends_import(path, on_error="skip")
    assert counts(report) == (3, 1, 0, 0, 2)
    assert not BlendedBenchmark.objects.filter(asset__symbol="MIX").exists()


def test_weights_must_make_100(tmp_path: Path) -> None:
    path = write_file(tmp_path, HEADER, "MIX,SPX,60,monthly", "MIX,AGG,39.999999,monthly")
    reason = "the weights of MIX make 99.999999, not 100"
    with nothing_written():
        assert refusals(blends_import(path)) == [
            (2, "weight_percentage", "60", reason),
            (3, "weight_percentage", "39.999999", reason),
        ]


def test_what_has_prices_or_is_part_of_a_blend_is_no_blend(tmp_path: Path) -> None:
    make_price(Asset.objects.get(symbol="SPX"))
    blends_import(write_file(tmp_path, HEADER, "OLD,DAX,100,none"))
    for symbol, reason in {
        "SPX": "SPX has prices of its own",
        "AGG": "AGG is an asset of class etf",
        "DAX": "DAX is a component of OLD",
    }.items():
        with nothing_written():
            report = blends_import(write_file(tmp_path, HEADER, f"{symbol},AGG,100,none"))
        assert refusals(report) == [(2, "blend", symbol, reason)]


def test_a_blend_of_a_blend_within_one_file(tmp_path: Path) -> None:
    path = write_file(tmp_path, HEADER, "MIX,DAX,100,none", "DAX,SPX,100,none")
    with nothing_written():
        assert refusals(blends_import(path)) == [(2, "symbol", "DAX", "DAX is itself a blend")]


def test_components_in_several_currencies_leave_that_of_the_blend_open(tmp_path: Path) -> None:
    lines = ("MIX,SPX,60,monthly", "MIX,DAX,40,monthly")
    with nothing_written():
        assert refusals(blends_import(write_file(tmp_path, HEADER, *lines))) == [
            (line, "currency", "", "the components of MIX differ in it, so it must be given")
            for line in (2, 3)
        ]
    with_currency = (f"{HEADER},currency", f"{lines[0]},CHF", f"{lines[1]},")
    assert blends_import(write_file(tmp_path, *with_currency)).created == 2
