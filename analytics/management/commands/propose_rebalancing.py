import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics.management.commands._output import (
    date_argument,
    decimal_argument,
    portfolios_named,
    solver_silence,
)
from analytics.models import EventType, ProposalGear, RebalanceMode
from analytics.services.rebalancing_events import event_propose
from analytics.services.rebalancing_recommendation import (
    PolicyOverrides,
    Recommendation,
    rebalancing_recommend,
)
from analytics.services.rebalancing_sweep import proposals_sweep, sweep_send
from analytics.services.triggers import Trigger
from portfolios.models import Portfolio

TRIGGER = Trigger(EventType.MANUAL, {"command": "propose_rebalancing"})


class Command(BaseCommand):
    help = (
        "Propose the trades that bring portfolios to their targets. Options take the place of the stored "
        "policy. Proposals are stored for approval; with --dry-run they are only printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=date_argument, help="value at the end of this day")
        parser.add_argument("--portfolio", action="append", default=[], metavar="CODE")
        parser.add_argument("--mode", choices=RebalanceMode.values)
        parser.add_argument("--amount", type=decimal_argument, help="cash to raise, with --mode raise_cash")
        parser.add_argument("--min-trade", type=decimal_argument)
        parser.add_argument("--cash-reserve", type=decimal_argument)
        parser.add_argument("--fee-per-trade", type=decimal_argument)
        parser.add_argument("--cost-rate", type=decimal_argument, help="fraction of the traded value")
        parser.add_argument(
            "--gear",
            choices=ProposalGear.values,
            default=ProposalGear.EXACT,
            help="exact: the proven optimum, or its bound and gap; fast: a search",
        )
        parser.add_argument(
            "--workers", action="store_true", help="leave it to the workers, a hundred portfolios a message"
        )
        parser.add_argument("--dry-run", action="store_true")
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["amount"] is not None and options["mode"] != RebalanceMode.RAISE_CASH:
            raise CommandError("--amount goes with --mode raise_cash only.")
        if options["mode"] == RebalanceMode.RAISE_CASH and options["amount"] is None:
            raise CommandError("--mode raise_cash needs --amount.")
        if options["cost_rate"] is not None and options["cost_rate"] >= 1:
            raise CommandError("--cost-rate is a fraction of the traded value and must be below 1.")
        overrides = PolicyOverrides(
            mode=options["mode"],
            raise_amount=options["amount"],
            minimum_trade=options["min_trade"],
            cash_reserve=options["cash_reserve"],
            fee_per_trade=options["fee_per_trade"],
            cost_rate=options["cost_rate"],
        )
        portfolios = portfolios_named(options["portfolio"])
        if options["workers"]:
            if options["gear"] != ProposalGear.FAST or options["dry_run"] or overrides != PolicyOverrides():
                raise CommandError("--workers goes with --gear fast and --date, and with no other option.")
            sent = sweep_send((portfolio.pk for portfolio in portfolios), options["date"])
            self.stdout.write(f"{len(portfolios)} portfolios in {sent} messages to the workers")
            return
        together = options["gear"] == ProposalGear.FAST and len(portfolios) > 1 and not options["dry_run"]
        propose = self._propose_together if together else self._propose_each
        documents: list[dict[str, Any]] = []
        for found in propose(portfolios, options, overrides):
            if options["format"] == "json":
                documents.append(found.as_json(number=float))
            else:
                self._print(found)
        if options["format"] == "json":
            self.stdout.write(json.dumps(documents))

    def _propose_each(
        self, portfolios: list[Portfolio], options: dict[str, Any], overrides: PolicyOverrides
    ) -> Iterator[Recommendation]:
        for portfolio in portfolios:
            with solver_silence():
                found = rebalancing_recommend(portfolio, options["date"], overrides, gear=options["gear"])
            if found.is_storable and not options["dry_run"]:
                event_propose(found, TRIGGER)
            yield found

    def _propose_together(
        self, portfolios: list[Portfolio], options: dict[str, Any], overrides: PolicyOverrides
    ) -> list[Recommendation]:
        """Read, searched for and stored a hundred at a time."""
        found: dict[int, Recommendation] = {}
        with solver_silence():
            outcome = proposals_sweep(
                [portfolio.pk for portfolio in portfolios],
                options["date"],
                trigger=TRIGGER,
                overrides=overrides,
                show=lambda recommendation: found.update({recommendation.portfolio.pk: recommendation}),
            )
        for recommendation in found.values():
            code = recommendation.portfolio.code
            if recommendation.is_storable and code in outcome.problems:
                raise CommandError(f"{code}: {'; '.join(outcome.problems[code])}")
        return [found[portfolio.pk] for portfolio in portfolios]

    def _print(self, found: Recommendation) -> None:
        content = found.as_json()
        self.stdout.write(
            f"{content['portfolio']}  {content['date']}  {content['status']}  ({content['mode']})"
        )
        for reason in content["reasons"]:
            self.stdout.write(f"  {reason}")
        for warning in content["warnings"]:
            self.stdout.write(f"  look at: {warning}")
        if found.proposal:
            self.stdout.write(
                f"  value {content['value']}, cash {content['cash_before']} -> {content['cash_after']}, "
                f"drift {content['drift_before']} -> {content['drift_after']}, "
                f"cost {content['estimated_cost']}, tax {content['estimated_tax'] or 'unknown'}"
            )
        for action in content["actions"]:
            self.stdout.write(
                f"  {action['side']:<4} {action['quantity']:>10} {action['symbol']:<8} at {action['price']}  "
                f"= {action['amount']}  {action['reason']}"
            )
        for line in content["skipped"]:
            self.stdout.write(f"  hold            {line['symbol']:<8} {line['reason']}")
