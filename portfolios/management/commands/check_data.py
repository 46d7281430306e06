"""manage.py check_data"""

import datetime as dt
import json
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.management.arguments import add_format_argument, add_user_argument, named_user
from portfolios.models import Asset, FindingSeverity
from portfolios.selectors.data_findings import finding_as_json, findings_of, newest_open, open_counts
from portfolios.services.data_findings import findings_check

NEWEST = 10
ROW = "{:<18}  " + "{:>8}  " * len(FindingSeverity.values)
LINE = "{:<10}  {:<10}  {:<18}  {:<8}  {}"


class Command(BaseCommand):
    help = "Checks the stored prices and says what looks wrong in them. No price is changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--symbol", metavar="SYMBOL", action="append", help="only this asset; may be given several times"
        )
        parser.add_argument(
            "--from",
            dest="from_date",
            type=_day,
            metavar="DATE",
            help="only from this day on",
        )
        parser.add_argument(
            "--fail-on",
            choices=FindingSeverity.values,
            help="fail when a finding of this severity or a graver one is open",
        )
        add_format_argument(parser)
        add_user_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        assets, from_date = _asset_ids(options["symbol"]), options["from_date"]
        report = findings_check(assets, from_date, named_user(options["user"]))
        findings = findings_of(assets, from_date)
        counts, newest = open_counts(findings), newest_open(findings, NEWEST)
        if options["format"] == "json":
            answer = {
                "check": report.as_json(),
                "open": counts,
                "newest": [finding_as_json(finding) for finding in newest],
            }
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
        else:
            self.stdout.write(report.summary())
            self.stdout.write(ROW.format("open", *FindingSeverity.values).rstrip())
            for kind, by_severity in counts.items():
                self.stdout.write(ROW.format(kind, *by_severity.values()).rstrip())
            for finding in newest:
                day = finding.date.isoformat()
                self.stdout.write(
                    LINE.format(day, finding.asset.symbol, finding.kind, finding.severity, finding.detail)
                )
        if options["fail_on"]:
            _check_severity(counts, options["fail_on"])


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not a date: {text!r} (write 2024-01-31)") from error


def _asset_ids(symbols: list[str] | None) -> list[int] | None:
    if symbols is None:
        return None
    found = dict(Asset.objects.filter(symbol__in=symbols).values_list("pk", "symbol"))
    unknown = sorted(set(symbols) - set(found.values()))
    if unknown:
        raise CommandError(f"unknown symbol: {', '.join(unknown)}")
    return sorted(found)


def _check_severity(counts: dict[str, dict[str, int]], least: str) -> None:
    graver = FindingSeverity.values[FindingSeverity.values.index(least) :]
    total = sum(by_severity[severity] for by_severity in counts.values() for severity in graver)
    if total:
        raise CommandError(f"{total} open findings of severity {' or '.join(graver)}")
