"""manage.py explain_performance CODE --from DATE --to DATE [--by GROUPING] [--weights FILE]"""

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from analytics.management.commands._output import date_argument, portfolios_named
from analytics.selectors.attribution import (
    CASH,
    GROUPINGS,
    AttributionError,
    Explanation,
    SectorAttribution,
    StatedWeight,
    panel_through,
    performance_explanation,
    stated_benchmark,
)
from analytics.selectors.bridges import (
    BRIDGE_LINES,
    BridgeError,
    NoHistoryError,
    PeriodBridge,
    panel_bridge,
)
from portfolios.imports.cells import PERCENT, CellError, Reading, Row
from portfolios.imports.report import Reject
from portfolios.imports.table import FileError, TableError, open_table
from portfolios.management.arguments import add_format_argument

UNKNOWN = "–"
WIDTH = 110
LONGEST_SECTOR, LONGEST_SYMBOL = 64, 32
WEIGHT_COLUMNS = ("sector", "weight", "symbol")
RETURN_NAMES = {
    "price": "Price",
    "gross": "Gross of fees",
    "net_of_fees": "Net of fees",
    "net": "Net of fees and taxes",
}
BRIDGE_NAMES = {
    "net_flow": "Net flows",
    "realized_pnl": "Realised gains",
    "unrealized_pnl": "Change of unrealised gains",
    "income": "Income",
    "fx_on_cash": "Exchange rates on cash",
    "fees": "Fees",
    "taxes": "Taxes",
}
CURRENCY_NAMES = {"local": "Local", "fx": "Exchange rates", "base": "Base currency"}


class Command(BaseCommand):
    help = (
        "Explain the profit and the return of a portfolio over some days, both included: how it came from "
        "its opening to its closing value, what each line added, before and after costs, at home and by "
        "exchange rates, and against a benchmark by sector: the portfolio's primary one where its "
        "components are known, or stated in a file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", metavar="CODE", help="the portfolio")
        parser.add_argument("--from", dest="from_date", type=date_argument, required=True, metavar="DATE")
        parser.add_argument("--to", dest="to_date", type=date_argument, required=True, metavar="DATE")
        parser.add_argument("--by", choices=GROUPINGS, default="asset", help="lines of the contributions")
        parser.add_argument(
            "--weights",
            metavar="FILE",
            help=f"a benchmark as CSV {','.join(WEIGHT_COLUMNS)}: percent of each sector, 100 in all, and "
            f"the asset that measures it; {CASH} may go without one and then earns the risk-free rate",
        )
        add_format_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        (portfolio,) = portfolios_named([options["code"]])
        stated = read_weights(options["weights"]) if options["weights"] else None
        first, last = options["from_date"], options["to_date"]
        try:
            panel = panel_through(portfolio, last)
            benchmark = stated_benchmark(panel, stated) if stated is not None else None
            found = performance_explanation(panel, first, last, grouping=options["by"], benchmark=benchmark)
            bridge = panel_bridge(panel, first, last)
        except (AttributionError, NoHistoryError, BridgeError) as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            answer = {**found.as_json(), "bridge": bridge.as_json()}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
        else:
            self.print_text(found, bridge)

    def print_text(self, found: Explanation, bridge: PeriodBridge) -> None:
        console = Console(width=WIDTH, highlight=False)
        with console.capture() as text:
            since = f"the evening of {found.opening}" if found.opening else "its first day"
            console.print(
                f"{found.portfolio.code}  {found.portfolio.name}, in {found.portfolio.base_currency_id}, "
                f"from {since} to the evening of {found.closing}"
            )
            console.print(_bridge_table(bridge))
            console.print(_figures_table("Time-weighted return", RETURN_NAMES, found.returns))
            console.print(_figures_table("Local and exchange rates", CURRENCY_NAMES, found.currency))
            console.print(_contribution_table(found))
            if found.attribution:
                console.print(_attribution_table(found.attribution))
            for name, reason in (found.quality | bridge.reasons).items():
                console.print(f"{name}: {reason}")
        self.stdout.write(text.get(), ending="")


def read_weights(path: str) -> list[StatedWeight]:
    """The lines of a weights file. Raises CommandError that names every line at fault."""
    rows: list[StatedWeight] = []
    faults: list[Reject] = []
    try:
        with open_table(Path(path), settings.IMPORT_MAX_BYTES) as table:
            table.check_header(WEIGHT_COLUMNS)
            for row in table.rows(Reading()):
                if isinstance(row, Reject):
                    faults.append(row)
                    continue
                try:
                    rows.append(_stated_weight(row))
                except CellError as error:
                    faults.append(Reject(row.line, error.column, error.value, error.reason))
    except (FileError, TableError) as error:
        raise CommandError(str(error)) from error
    if faults:
        raise CommandError("\n".join(map(str, faults)))
    return rows


def _stated_weight(row: Row) -> StatedWeight:
    sector = row.text("sector", LONGEST_SECTOR, needed=True)
    return StatedWeight(
        sector=CASH if sector.lower() == CASH.lower() else sector,
        weight=row.given("weight", row.number_from_zero("weight", PERCENT)),
        symbol=row.text("symbol", LONGEST_SYMBOL),
        line=row.line,
    )


def _bridge_table(found: PeriodBridge) -> Table:
    table = Table(title="Profit bridge", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    bridge = found.bridge
    table.add_row("Opening value", _money(bridge.opening))
    for name, sign in BRIDGE_LINES.items():
        amount = bridge.lines[name]
        table.add_row(BRIDGE_NAMES[name], _money(None if amount is None else sign * amount))
    table.add_row("Rounding", _money(bridge.rounding))
    table.add_row("Closing value", _money(bridge.closing), style="bold")
    return table


def _figures_table(title: str, names: dict[str, str], figures: dict[str, float]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, words in names.items():
        table.add_row(words, _percent(figures[name]))
    return table


def _contribution_table(found: Explanation) -> Table:
    table = Table(title="Contributions to the net return", title_justify="left", show_footer=True)
    table.add_column(found.grouping.capitalize(), "Together")
    table.add_column("Average weight", justify="right")
    table.add_column(
        "Contribution", _percent(sum(line.contribution for line in found.contributions)), justify="right"
    )
    has_currencies = found.grouping == "asset"
    if has_currencies:
        for words in ("Local", "Rates", "Return"):
            table.add_column(words, justify="right")
    for line in found.contributions:
        own = (line.local, line.fx, line.base) if has_currencies else ()
        table.add_row(line.name, *map(_percent, (line.weight, line.contribution, *own)))
    return table


def _attribution_table(found: SectorAttribution) -> Table:
    table = Table(
        title=f"Against {found.benchmark}: {_percent(found.portfolio_return)} - "
        f"{_percent(found.benchmark_return)} = {_percent(found.active_return)}",
        title_justify="left",
        show_footer=True,
    )
    table.add_column("Sector", "Together")
    for heading in ("Portfolio", "Benchmark"):
        table.add_column(heading, justify="right")
    for name in ("allocation", "selection", "interaction"):
        total = sum(getattr(effect, name) for effect in found.effects)
        table.add_column(name.capitalize(), _percent(total), justify="right")
    for effect in found.effects:
        weights = (effect.portfolio_weight, effect.benchmark_weight)
        effects = (effect.allocation, effect.selection, effect.interaction)
        table.add_row(effect.sector, *map(_percent, (*weights, *effects)))
    return table


def _money(amount: Decimal | None) -> str:
    return UNKNOWN if amount is None else f"{amount + 0:,f}"


def _percent(fraction: float) -> str:
    return UNKNOWN if math.isnan(fraction) else f"{fraction * 100:.4f} %"
