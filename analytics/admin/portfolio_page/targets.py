"""Targets: the grid in which a whole set of targets is changed at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.html import format_html

from analytics.admin.portfolio_page.content import Content
from analytics.admin.portfolio_page.targets_form import (
    PREFIX,
    BaseLineFormSet,
    LineForm,
    LineFormSet,
    SetForm,
    TargetSet,
    asset_text,
    differences,
    line_forms,
    merged,
    set_form,
    value_text,
    with_empty_line,
)
from analytics.models import ChangeKind, ChangeRequest, ChangeStatus
from analytics.selectors.change_requests import visible_change_requests
from analytics.selectors.summaries import performance_snapshot
from analytics.services.holdings import HoldingsError, holdings_on
from analytics.services.second_person import needs_second_person
from analytics.services.targets import TargetFaults, TargetsConflict, targets_may_change, targets_save
from portfolio_site.kernel.tables import Column, Link, Table, Unknown
from portfolios.models import Asset, Portfolio
from portfolios.selectors.visibility import visible_audit_events

TEMPLATE = "admin/portfolio_page/targets.html"
ADD_LINE = "add_line"
CASH = "Cash"
BANDS = ("rebalance_threshold", "rebalance_threshold_relative")
NO_BAND = Unknown("no such band")


@dataclass(frozen=True)
class Weights:
    """What each asset weighs in percent of the value, held or targeted, on the last stored day."""

    day: Any = None
    of_asset: Mapping[int, Decimal] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    cash: Decimal | None = None
    reason: str = ""


def show(request: HttpRequest, portfolio: Portfolio) -> Content | HttpResponse:
    may_change = targets_may_change(request.user, portfolio)
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied
        return _posted(request, portfolio)
    standing = TargetSet.standing(portfolio)
    if not may_change:
        return _content(request, portfolio, standing)
    return _content(request, portfolio, standing, line_forms(standing), set_form(standing))


def _posted(request: HttpRequest, portfolio: Portfolio) -> Content | HttpResponse:
    if ADD_LINE in request.POST:
        return _entered(request, portfolio, with_empty_line(request.POST), adds=True)
    lines, head = LineFormSet(request.POST, prefix=PREFIX), SetForm(request.POST)
    # Both are asked, so that all faults are told at once.
    if not all([lines.is_valid(), head.is_valid()]):
        return _content(request, portfolio, TargetSet.standing(portfolio), lines, head)
    try:
        saved = targets_save(
            portfolio,
            lines.targets,
            head.cleaned_data["cash"],
            actor=cast(User, request.user),
            reason=head.cleaned_data["reason"],
            expected_version=head.cleaned_data["version"],
        )
    except TargetsConflict:
        return _conflict(request, portfolio, lines, head)
    except TargetFaults as error:
        _mark(error, lines, head)
    except ValidationError as error:
        head.add_error(None, error)
    else:
        _tell(request, portfolio, saved)
        return HttpResponseRedirect(reverse("admin:portfolios_portfolio_targets", args=[portfolio.pk]))
    return _content(request, portfolio, TargetSet.standing(portfolio), lines, head)


def _entered(
    request: HttpRequest, portfolio: Portfolio, data: QueryDict, *, adds: bool = False, **context: Any
) -> Content:
    """The grid with what was entered into it."""
    lines, head = LineFormSet(data, prefix=PREFIX), SetForm(data)
    return _content(request, portfolio, TargetSet.standing(portfolio), lines, head, adds=adds, **context)


def _mark(error: TargetFaults, lines: BaseLineFormSet, head: SetForm) -> None:
    """Each fault beside the field that it is about."""
    form_of: dict[Asset, LineForm] = {form.asset: form for form in lines.kept if form.asset}
    for fault in error.faults:
        if fault.asset is None:
            head.add_error("cash", fault.reason)
        else:
            form_of[fault.asset].add_error("symbol" if fault.field == "asset" else fault.field, fault.reason)


def _tell(request: HttpRequest, portfolio: Portfolio, saved: ChangeRequest | bool) -> None:
    if isinstance(saved, ChangeRequest):
        words = format_html(
            "The targets of {} are not changed yet: they wait for a second person, as "
            '<a href="{}">change request {}</a>.',
            portfolio.code,
            reverse("admin:analytics_changerequest_change", args=[saved.pk]),
            saved.pk,
        )
        messages.warning(request, words)
    elif saved:
        messages.success(
            request, f"The targets of {portfolio.code} are saved. The next run measures against them."
        )
    else:
        messages.info(request, "Nothing was changed: these targets stand there already.")


def _conflict(request: HttpRequest, portfolio: Portfolio, lines: BaseLineFormSet, head: SetForm) -> Content:
    """Both sets side by side, and below them theirs with one's own changes on top, to be saved again."""
    theirs = TargetSet.standing(portfolio)
    changes = visible_audit_events(request.user).filter(portfolio=portfolio, action="allocation.changed")
    return _entered(
        request,
        portfolio,
        merged(theirs, lines, head),
        conflict=differences(theirs, lines.targets, head.cleaned_data["cash"]),
        last_change=changes.order_by("-sequence").first(),
    )


# --- what is shown -------------------------------------------------------------------------------------


def _content(
    request: HttpRequest,
    portfolio: Portfolio,
    standing: TargetSet,
    lines: BaseLineFormSet | None = None,
    head: SetForm | None = None,
    **context: Any,
) -> Content:
    weights = _weights(portfolio)
    if lines is not None:
        context |= _grid(portfolio, lines, weights)
    waiting = visible_change_requests(request.user).filter(
        portfolio=portfolio, kind=ChangeKind.TARGETS, status=ChangeStatus.PENDING
    )
    table = _table(standing, weights)
    return Content(
        [table] if lines is None else [],
        files=[] if lines is None else [table],
        template=TEMPLATE,
        context={"lines": lines, "head": head, "waiting": list(waiting), "weights": weights, **context},
    )


def _grid(portfolio: Portfolio, lines: BaseLineFormSet, weights: Weights) -> dict[str, Any]:
    """What the grid shows beside the entries, which a script keeps up with them."""
    assets = Asset.objects.filter(is_active=True).order_by("symbol", "exchange")
    weight_of = {weights.names[pk]: weight for pk, weight in weights.of_asset.items()}
    for form in cast(Sequence[LineForm], lines.forms):
        form.weight = weight_of.get(str(form["symbol"].value()))
    return {
        "assets": [(asset_text(asset), asset.name) for asset in assets],
        "needs_second_person": needs_second_person(ChangeKind.TARGETS, portfolio),
        "live": {
            "weights": {name: float(weight) for name, weight in weight_of.items()},
            "cash": None if weights.cash is None else float(weights.cash),
        },
    }


def _weights(portfolio: Portfolio) -> Weights:
    snapshot = performance_snapshot(portfolio, None)
    if snapshot is None:
        return Weights(reason="nothing is computed yet")
    try:
        state = holdings_on(portfolio, snapshot.snapshot_date).state
    except HoldingsError as error:
        return Weights(reason=str(error))
    known = {line.asset: line.weight for line in state.lines if line.weight is not None}
    return Weights(
        state.day,
        {asset.pk: weight for asset, weight in known.items()},
        {asset.pk: asset_text(asset) for asset in known},
        state.cash_weight,
        "; ".join(state.reasons),
    )


def _table(standing: TargetSet, weights: Weights) -> Table:
    """The set as it stands."""
    unknown = Unknown(weights.reason or "not held on that day")
    rows = []
    for asset, values in standing.lines.items():
        weight, target = weights.of_asset.get(asset.pk), values["target_percentage"]
        rows.append(
            [
                Link(asset_text(asset), reverse("admin:portfolios_asset_change", args=[asset.pk])),
                target,
                values["min_percentage"],
                values["max_percentage"],
                *(NO_BAND if values[name] is None else values[name] for name in BANDS),
                value_text("band_rule", values["band_rule"]),
                value_text("rebalance_frequency", values["rebalance_frequency"]),
                unknown if weight is None else weight,
                unknown if weight is None else weight - target,
            ]
        )
    if rows:
        nothing, weight = Unknown("cash has none"), weights.cash
        rows.append(
            [CASH, standing.cash, nothing, nothing, nothing, nothing, "", "", weight,
             None if weight is None else weight - standing.cash]
        )  # fmt: skip
    return Table(
        "targets",
        "Targets",
        [
            Column("Asset"),
            Column("Target", "number", unit="%"),
            Column("Min", "number", unit="%"),
            Column("Max", "number", unit="%"),
            Column("Band", "number", unit="points"),
            Column("Band", "number", unit="% of target"),
            Column("Band rule"),
            Column("Frequency"),
            Column("Weight", "number", unit="%"),
            Column("Drift", "number", unit="points", signed=True),
        ],
        rows,
        empty="No targets are set: a manager of the portfolio sets them here, or imports allocations.",
        note=f"Weights of {weights.day}." if weights.day else f"Weights are not known: {weights.reason}.",
        shown=max(len(rows), 1),
    )
