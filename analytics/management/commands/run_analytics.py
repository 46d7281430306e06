import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import date_argument, progress_bar, solver_silence
from analytics.models import AnalyticsRun, RunStatus
from analytics.services.planning import SECTIONS
from analytics.services.runs import RunError, run_create, run_execute, run_retry


class Command(BaseCommand):
    help = (
        "Compute the analytics tables. Without dates: the latest closed trading day and whatever is stale "
        "before it. With --date: that day, for everything. With --from and --to: every day between them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=date_argument, help="compute this day, for everything")
        parser.add_argument("--from", dest="from_date", type=date_argument, help="compute from this day on")
        parser.add_argument("--to", dest="to_date", type=date_argument, help="compute up to this day")
        parser.add_argument(
            "--portfolio", action="append", default=[], metavar="CODE", help="only this portfolio; repeatable"
        )
        parser.add_argument(
            "--only", default="", metavar="SECTIONS", help=f"comma-separated: {', '.join(SECTIONS)}"
        )
        parser.add_argument(
            "--retry", type=int, metavar="RUN", help="compute again what failed of this run, and nothing else"
        )
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["retry"] is not None:
            self.retry(options)
            return
        if options["date"] and (options["from_date"] or options["to_date"]):
            raise CommandError("--date goes without --from and --to.")
        try:
            run = run_create(
                calculation_date=options["date"] or options["to_date"],
                from_date=options["date"] or options["from_date"],
                portfolio_codes=options["portfolio"],
                only=[part.strip() for part in options["only"].split(",") if part.strip()],
                keep_empty=False,
            )
        except RunError as error:
            raise CommandError(str(error)) from error
        self.execute_run(run, options["format"])

    def retry(self, options: dict[str, Any]) -> None:
        if any(options[name] for name in ("date", "from_date", "to_date", "portfolio", "only")):
            raise CommandError("--retry goes with no other choice of what to compute.")
        try:
            run = run_retry(options["retry"])
        except RunError as error:
            raise CommandError(str(error)) from error
        self.execute_run(run, options["format"])

    def execute_run(self, run: AnalyticsRun | None, output: str) -> None:
        if run is None:
            self.report({"date": None, "run": None, "rows": {}, "seconds": 0.0, "issues": []}, output)
            return
        with solver_silence(), progress_bar(run.total) as show:
            run_execute(run, show)
        result = {
            "date": run.calculation_date.isoformat(),
            "run": run.pk,
            "rows": run.rows,
            "seconds": round(run.seconds or 0.0, 3),
            "issues": run.issues,
        }
        self.report(result, output)
        if run.status != RunStatus.SUCCEEDED:
            raise CommandError(run.error or f"the run finished with {len(run.issues)} issues.")

    def report(self, result: dict[str, Any], output: str) -> None:
        if output == "json":
            self.stdout.write(json.dumps(result))
        elif result["run"] is None:
            self.stdout.write("Everything is up to date.")
        else:
            self.stdout.write(f"Run {result['run']} up to {result['date']}: {result['seconds']:.1f} s")
            for table, count in result["rows"].items():
                self.stdout.write(f"  {count:>9,} rows changed in {table}")
            for issue in result["issues"]:
                self.stdout.write(f"  issue: {issue}")
