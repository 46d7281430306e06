"""The command that explains a return: what it prints, and what it says of bad input."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics.selectors.bridges import BRIDGE_LINES
from portfolios.models import AuditEvent
from tests.support import factories as make
from tests.support.house import DAYS, FIRST_DAY, LAST_DAY, House, make_house

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PERIOD = ("--from", FIRST_DAY.isoformat(), "--to", LAST_DAY.isoformat())


@pytest.fixture
def house() -> House:
    return make_house()


def printed(*arguments: str) -> str:
    output = StringIO()
    call_command("explain_performance", *arguments, stdout=output)
    return output.getvalue()


def answer(*arguments: str) -> Any:
    return json.loads(printed(*arguments, "--format", "json"))


def weights_file(folder: Path, *lines: str, header: str = "sector,weight,symbol") -> str:
    path = folder / "weights.csv"
    path.write_text("\n".join((header, *lines, "")))
    return str(path)


def test_the_answer_for_programs(house: House, tmp_path: Path) -> None:
    weights = weights_file(tmp_path, "Energy,60,SPX", "Banks,30,ACME", "cash,10,ACME")
    found = answer("ABROAD", *PERIOD, "--by", "currency", "--weights", weights)
    assert list(found) == [
        "portfolio",
        "base_currency",
        "opening",
        "closing",
        "returns",
        "currency",
        "grouping",
        "contributions",
        "attribution",
        "quality",
        "bridge",
    ]
    assert (found["portfolio"], found["opening"], found["closing"]) == ("ABROAD", None, LAST_DAY.isoformat())
    assert list(found["returns"]) == ["price", "gross", "net_of_fees", "net"]
    assert {line["name"] for line in found["contributions"]} == {"USD", "EUR", "Cash"}
    net = found["returns"]["net"]
    assert sum(line["contribution"] for line in found["contributions"]) == pytest.approx(net, abs=1e-12)
    effects = found["attribution"]["effects"]
    assert [effect["sector"] for effect in effects] == ["Banks", "Energy", "No sector", "Cash"]
    assert effects[-1]["benchmark_weight"] == pytest.approx(0.1)
    explained = sum(effect[name] for effect in effects for name in ("allocation", "selection", "interaction"))
    assert explained == pytest.approx(found["attribution"]["active_return"], abs=1e-12)
    assert found["quality"] == {}
    signs = {**BRIDGE_LINES, "opening": 1, "rounding": 1, "closing": -1}
    assert sum(sign * Decimal(found["bridge"][name]) for name, sign in signs.items()) == 0
    assert Decimal(found["bridge"]["closing"]) > 0


def test_the_answer_for_people(house: House, tmp_path: Path) -> None:
    found = answer("ABROAD", *PERIOD)
    text = printed("ABROAD", *PERIOD)
    assert text.splitlines()[0].split() == [
        *("ABROAD", "Book", "ABROAD,", "in", "USD,", "from", "its", "first", "day"),
        *("to", "the", "evening", "of", LAST_DAY.isoformat()),
    ]
    for figure in (*found["returns"].values(), *found["currency"].values()):
        assert f"{figure * 100:.4f} %" in text
    for line in found["contributions"]:
        assert line["name"] in text
        assert f"{line['contribution'] * 100:.4f} %" in text
    assert "attribution: SPX is an index without known constituents" in text
    assert "Against" not in text

    against = printed("ABROAD", *PERIOD, "--weights", weights_file(tmp_path, "Energy,100,SPX"))
    assert "Against stated weights" in against
    assert "attribution:" not in against


def test_a_later_period_begins_with_an_evening(house: House) -> None:
    text = printed("HOME", "--from", DAYS[5].isoformat(), "--to", DAYS[9].isoformat())
    assert f"from the evening of {DAYS[4]} to the evening of {DAYS[9]}" in text


def test_explaining_writes_nothing(house: House) -> None:
    before = AuditEvent.objects.count()
    answer("HOME", *PERIOD)
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("NOBODY", *PERIOD), "there is no portfolio NOBODY"),
        (("EMPTY", *PERIOD), "EMPTY has no settled transactions up to 2024-05-31"),
        (("HOME", "--from", "2024-01-01", "--to", "2024-05-31"), "HOME has no history on 2024-01-01"),
        (("HOME", "--from", "2024-05-31", "--to", "2024-12-31"), "HOME has no history on 2024-12-31"),
        (("HOME", "--from", "2024-05-31", "--to", "2024-05-01"), "2024-05-01 is before 2024-05-31"),
        (("HOME", "--from", "31.5.2024", "--to", "2024-05-31"), "'31.5.2024' is not a date"),
        (("HOME", "--to", "2024-05-31"), "the following arguments are required: --from"),
        (("HOME", *PERIOD, "--by", "colour"), "invalid choice: 'colour'"),
        (("HOME", *PERIOD, "--weights", "/nowhere.csv"), "/nowhere.csv: No such file or directory"),
    ],
)
def test_bad_arguments_are_named(house: House, arguments: tuple[str, ...], message: str) -> None:
    make.make_portfolio("EMPTY")
    with pytest.raises(CommandError, match=message) as error:
        printed(*arguments)
    assert error.value.returncode == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Energy,60,SPX", "Banks,30,ACME"], "the weights make 90, not 100"),
        (["Energy,sixty,SPX"], r"line 2, column weight: not a number \(sixty\)"),
        (["Energy,,SPX"], "line 2, column weight: must not be blank"),
        (["Energy,-5,SPX"], r"line 2, column weight: must not be negative \(-5\)"),
        ([",100,SPX"], "line 2, column sector: must not be blank"),
        (["Energy,50,SPX", "Banks,50,"], "line 3, column symbol: only Cash goes without a symbol"),
        (["Energy,50,SPX", "Banks,50,NONE"], r"line 3, column symbol: no asset has this symbol \(NONE\)"),
        (["Energy,50"], "line 2, column symbol: 2 cells, but the header has 3 columns"),
        (["Energy,x,SPX", "Banks,y,SPX"], "(?s)line 2, column weight.*line 3, column weight"),
        ([], "the weights make 0, not 100"),
    ],
)
def test_weights_that_cannot_be_used_are_named(
    house: House, tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        printed("HOME", *PERIOD, "--weights", weights_file(tmp_path, *lines))


def test_a_weights_file_with_other_columns_is_refused(house: House, tmp_path: Path) -> None:
    weights = weights_file(tmp_path, "Energy,100", header="sector,share")
    with pytest.raises(CommandError, match=r"column symbol: this column is missing; .* unknown column"):
        printed("HOME", *PERIOD, "--weights", weights)


def test_each_asset_has_its_own_local_and_currency_return(house: House) -> None:
    lines = {line["name"]: line for line in answer("ABROAD", *PERIOD)["contributions"]}
    for name in ("ACME", "RHEIN"):
        line = lines[name]
        assert (1 + line["local"]) * (1 + line["fx"]) - 1 == pytest.approx(line["base"], abs=1e-12)
    assert lines["ACME"]["fx"] == 0
    assert abs(lines["RHEIN"]["fx"]) > 1e-4
    assert lines["Cash"]["base"] is None
