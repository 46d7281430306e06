import os
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from analytics.management.commands.load_demo import KNOWN_PASSWORD
from analytics.selectors.dashboard import Standing, dashboard

DEMO_USER = "demo"
UNKNOWN = "–"
WIDTH = 130


class Command(BaseCommand):
    help = "Print what the nightly job found for the demo portfolios, where to look at it and how to sign in."

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=DEMO_USER).first()
        if user is None:
            raise CommandError("the demo is not loaded; run load_demo first.")
        standings = dashboard(user).standings
        table = Table(title=f"As of {max(_day(standing) for standing in standings)}")
        table.add_column("Portfolio")
        for heading in ("Value", "Return", "Volatility", "Drawdown", "VaR 95 % 1d"):
            table.add_column(heading, justify="right")
        table.add_column("Risk")
        table.add_column("Drift", justify="right")
        table.add_column("Proposal")
        for standing in standings:
            table.add_row(*_cells(standing))
        port = os.environ.get("PORT", "8000")
        password = "your DEMO_PASSWORD" if os.environ.get("DEMO_PASSWORD") else KNOWN_PASSWORD
        console = Console(width=WIDTH, highlight=False)
        with console.capture() as text:
            console.print(table)
            console.print("Return: time-weighted, since inception. Drawdown and value at risk are losses.")
            console.print(f"http://127.0.0.1:{port}/admin/   sign in as {DEMO_USER} / {password}")
        self.stdout.write(text.get(), ending="")


def _day(standing: Standing) -> str:
    return standing.performance.snapshot_date.isoformat() if standing.performance else UNKNOWN


def _cells(standing: Standing) -> list[str]:
    performance, risk, event = standing.performance, standing.risk, standing.open_event
    value = performance.total_value if performance else None
    return [
        f"{standing.portfolio.code}  {standing.portfolio.name}",
        UNKNOWN if value is None else f"{value:,.2f} {standing.portfolio.base_currency_id}",
        _percent(performance.cumulative_return if performance else None),
        _percent(performance.volatility if performance else None),
        _percent(performance.max_drawdown if performance else None),
        _percent(risk.var_95_1d if risk else None),
        risk.get_risk_level_display() if risk and risk.risk_level else UNKNOWN,
        UNKNOWN if standing.drift is None else f"{standing.drift:.2f} %",
        f"{len(event.actions)} trades, {event.get_event_type_display().lower()}" if event else "none needed",
    ]


def _percent(fraction: float | Decimal | None) -> str:
    return UNKNOWN if fraction is None else f"{fraction * 100:.2f} %"
