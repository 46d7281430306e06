"""The form of a whole set of targets, and sets of targets side by side.

Every field carries the value that it was opened with, so that a person's own changes can be told from what
stood there: they are what is put on top of the set of somebody who saved first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.db.models import Field
from django.http import QueryDict

from analytics.models import BandRule, PortfolioAllocation, RebalanceFrequency
from analytics.services.second_person import REASON_LENGTH
from analytics.services.targets import CASH, VALUES, WHOLE, StandingTargets
from portfolio_site.kernel.canonical import decimal_text
from portfolio_site.kernel.fields import PERCENT_DIGITS, PERCENT_PLACES
from portfolios.models import Asset, Portfolio

PREFIX = "lines"
NOTHING = Decimal(0)
MOST_LINES = 2000
FIELDS = tuple(name for name in VALUES if name != "is_active")
LABELS = {
    "target_percentage": "Target",
    "min_percentage": "Min",
    "max_percentage": "Max",
    "rebalance_threshold": "Band, points",
    "rebalance_threshold_relative": "Band, % of target",
    "band_rule": "Band rule",
    "rebalance_frequency": "Frequency",
}
# As a line begins, and what an empty limit means.
DEFAULTS: Mapping[str, Any] = {
    "min_percentage": NOTHING,
    "max_percentage": WHOLE,
    "band_rule": BandRule.EITHER,
    "rebalance_frequency": RebalanceFrequency.NONE,
}
WORDS: Mapping[str, Mapping[str, str]] = {
    "band_rule": dict(BandRule.choices),
    "rebalance_frequency": dict(RebalanceFrequency.choices),
}
_ASSET = re.compile(r"(?P<symbol>.+?)(?:\s+\((?P<exchange>\w+)\))?")

Values = Mapping[str, Any]


def asset_text(asset: Asset) -> str:
    """As an asset is chosen: its symbol, and its exchange where it has one."""
    return f"{asset.symbol} ({asset.exchange})" if asset.exchange else asset.symbol


def value_text(name: str, value: Any) -> str:
    if value is None:
        return ""
    return decimal_text(value) if isinstance(value, Decimal) else WORDS[name][value]


@dataclass(frozen=True)
class TargetSet:
    """The targets of a portfolio by asset, the cash target, and the version that this set is built on."""

    lines: Mapping[Asset, Values]
    cash: Decimal
    version: str

    @classmethod
    def standing(cls, portfolio: Portfolio) -> "TargetSet":
        found = StandingTargets([portfolio.pk])
        lines = [line for line in found.lines[portfolio.pk].values() if line.is_active]
        lines.sort(key=lambda line: (-line.target_percentage, line.asset.symbol))
        return cls(
            {line.asset: {name: getattr(line, name) for name in VALUES} for line in lines},
            found.cash(portfolio) or NOTHING,
            found.version(portfolio),
        )


class SetForm(forms.Form):
    """What belongs to the whole set."""

    version = forms.CharField(widget=forms.HiddenInput)
    cash = forms.DecimalField(
        label="Cash target (%)",
        min_value=0,
        max_value=100,
        max_digits=PERCENT_DIGITS,
        decimal_places=PERCENT_PLACES,
        widget=forms.NumberInput(attrs={"step": "any"}),
        show_hidden_initial=True,
    )
    reason = forms.CharField(
        max_length=REASON_LENGTH,
        required=False,
        label="Reason",
        help_text="Kept in the audit trail.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class LineForm(forms.Form):
    """One line. `asset` is found by the set, for all lines at once; `weight`: what it weighs now."""

    symbol = forms.CharField(
        max_length=64,
        label="Asset",
        strip=True,
        show_hidden_initial=True,
        widget=forms.TextInput(attrs={"list": "target-assets", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asset: Asset | None = None
        self.weight: Decimal | None = None
        for name in FIELDS:
            self.fields[name] = _field(name)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = field.label

    @property
    def figures(self) -> list[forms.BoundField]:
        """The fields behind the asset, in the order of the columns."""
        return [self[name] for name in FIELDS]

    @property
    def opened_with(self) -> str:
        """The asset that this line had when the form was opened; none for a line that was added."""
        return str(self.data.get(self["symbol"].html_initial_name, "")).strip()

    @property
    def values(self) -> dict[str, Any]:
        found = {name: self.cleaned_data.get(name) for name in FIELDS}
        for name, default in DEFAULTS.items():
            found[name] = default if found[name] in (None, "") else found[name]
        return found | {"is_active": True}


def _field(name: str) -> forms.Field:
    column = cast("Field[Any, Any]", PortfolioAllocation._meta.get_field(name))
    options: dict[str, Any] = {
        "label": LABELS[name],
        "initial": DEFAULTS.get(name),
        "show_hidden_initial": True,
    }
    if name in WORDS:
        return cast(forms.Field, column.formfield(**options))
    limits: dict[str, Any] = {"min_value": 0}
    if name.endswith("percentage"):
        limits["max_value"] = 100
    return cast(
        forms.Field,
        column.formfield(
            **options,
            **limits,
            required=name == "target_percentage",
            help_text="",
            widget=forms.NumberInput(attrs={"step": "any", "data-figure": name}),
        ),
    )


class RemoveBox(forms.CheckboxInput):
    def __init__(self) -> None:
        super().__init__({"aria-label": "Remove this line"})


class BaseLineFormSet(forms.BaseFormSet):
    deletion_widget = RemoveBox

    def clean(self) -> None:
        """Find the asset of every line, in one query."""
        found: dict[str, list[Asset]] = {}
        texts = {form: form.cleaned_data.get("symbol", "") for form in self.kept}
        symbols = set(texts.values()) | {_parts(text)[0] for text in texts.values()}
        for known in Asset.objects.filter(symbol__in=symbols):
            found.setdefault(known.symbol, []).append(known)
        taken: set[Asset] = set()
        for form, text in texts.items():
            if not text:
                continue
            asset, fault = _chosen(text, found)
            if asset is None:
                form.add_error("symbol", fault)
            elif asset in taken:
                form.add_error("symbol", f"{asset_text(asset)} has a line already")
            else:
                form.asset = asset
                taken.add(asset)

    @property
    def kept(self) -> list[LineForm]:
        """The lines that are filled in and not to be removed."""
        found = [form for form in cast(Sequence[LineForm], self.forms) if getattr(form, "cleaned_data", None)]
        return [form for form in found if not form.cleaned_data.get("DELETE")]

    @property
    def targets(self) -> dict[Asset, dict[str, Any]]:
        return {form.asset: form.values for form in self.kept if form.asset}


def _parts(text: str) -> tuple[str, str | None]:
    match = _ASSET.fullmatch(text)
    return (match["symbol"], match["exchange"]) if match else (text, None)


def _chosen(text: str, found: Mapping[str, Sequence[Asset]]) -> tuple[Asset | None, str]:
    if text.upper() == CASH:
        return None, "the cash target has a field of its own"
    symbol, exchange = _parts(text)
    assets = list(found.get(text, [])) or [
        asset for asset in found.get(symbol, []) if exchange is None or asset.exchange == exchange
    ]
    if not assets:
        return None, f"there is no asset {text}"
    if len(assets) > 1:
        names = ", ".join(asset_text(asset) for asset in assets)
        return None, f"several assets have this symbol: {names}"
    return assets[0], ""


LineFormSet: type[BaseLineFormSet] = cast(
    type[BaseLineFormSet],
    forms.formset_factory(
        LineForm,
        formset=BaseLineFormSet,
        extra=0,
        can_delete=True,
        max_num=MOST_LINES,
        absolute_max=MOST_LINES,
    ),
)


def line_forms(shown: TargetSet) -> BaseLineFormSet:
    """The lines of a set, for the grid."""
    initial = [{"symbol": asset_text(asset)} | _texts(values) for asset, values in shown.lines.items()]
    return LineFormSet(prefix=PREFIX, initial=initial)


def set_form(shown: TargetSet) -> SetForm:
    return SetForm(initial={"version": shown.version, "cash": decimal_text(shown.cash)})


def with_empty_line(data: QueryDict) -> QueryDict:
    """What was entered with one line more; at most as many as there may be."""
    data = data.copy()
    number = int(data.get(f"{PREFIX}-TOTAL_FORMS") or 0)
    if number < MOST_LINES:
        data[f"{PREFIX}-TOTAL_FORMS"] = str(number + 1)
        _fill(data, number, _texts(DEFAULTS), _texts(DEFAULTS))
    return data


def merged(theirs: TargetSet, lines: BaseLineFormSet, head: SetForm) -> QueryDict:
    """Their set with the changes of the form on top, as if entered into a form that was opened with theirs.

    A line that the form removed is there, to be removed; one that they removed and the form changed, too.
    """
    own = {form.asset: form for form in lines.kept if form.asset}
    same_line = {asset for asset, form in own.items() if form.opened_with == asset_text(asset)}
    gone = {form.opened_with for form in cast(Sequence[LineForm], lines.forms)} - {
        asset_text(asset) for asset in own
    }
    added = [
        asset for asset, form in own.items()
        if asset not in theirs.lines and (asset not in same_line or set(form.changed_data) & set(FIELDS))
    ]  # fmt: skip
    data = QueryDict(mutable=True)
    for number, asset in enumerate([*theirs.lines, *added]):
        stands, form = theirs.lines.get(asset), own.get(asset)
        values = dict(stands or {})
        if form is not None:
            is_new = stands is None or asset not in same_line
            values |= {name: form.values[name] for name in FIELDS if is_new or name in form.changed_data}
        opened_with = {"symbol": asset_text(asset)} | _texts(stands) if stands else _texts(DEFAULTS)
        _fill(data, number, {"symbol": asset_text(asset)} | _texts(values), opened_with)
        if asset_text(asset) in gone:
            data[f"{PREFIX}-{number}-DELETE"] = "on"
    data[f"{PREFIX}-TOTAL_FORMS"] = str(len(theirs.lines) + len(added))
    data[f"{PREFIX}-INITIAL_FORMS"] = str(len(theirs.lines))
    cash = head.cleaned_data["cash"] if "cash" in head.changed_data else theirs.cash
    data["cash"], data["initial-cash"] = decimal_text(cash), decimal_text(theirs.cash)
    data["version"], data["reason"] = theirs.version, head.cleaned_data["reason"]
    return data


def _fill(data: QueryDict, number: int, shown: Mapping[str, str], opened_with: Mapping[str, str]) -> None:
    for name in ("symbol", *FIELDS):
        data[f"{PREFIX}-{number}-{name}"] = shown.get(name, "")
        data[f"initial-{PREFIX}-{number}-{name}"] = opened_with.get(name, "")


def _texts(values: Values) -> dict[str, str]:
    """As they stand in the fields of a line."""
    return {name: _text(values[name]) for name in FIELDS if name in values}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return decimal_text(value) if isinstance(value, Decimal) else str(value)


@dataclass(frozen=True)
class Difference:
    """One line of two sets. `cells`: what it is in theirs and in one's own, and whether these differ."""

    name: str
    cells: Sequence[tuple[str, str, str, bool]]

    @property
    def is_same(self) -> bool:
        return not any(differs for *_, differs in self.cells)


def differences(theirs: TargetSet, own: Mapping[Asset, Values], cash: Decimal) -> list[Difference]:
    assets = sorted({*theirs.lines, *own}, key=lambda asset: (asset.symbol, asset.exchange))
    rows = [
        Difference(asset_text(asset), _cells(theirs.lines.get(asset), own.get(asset))) for asset in assets
    ]
    target, texts = LABELS["target_percentage"], (decimal_text(theirs.cash), decimal_text(cash))
    return [*rows, Difference("Cash", [(target, *texts, texts[0] != texts[1])])]


def _cells(theirs: Values | None, own: Values | None) -> list[tuple[str, str, str, bool]]:
    cells = []
    for name, label in LABELS.items():
        texts = ["" if values is None else value_text(name, values[name]) for values in (theirs, own)]
        cells.append((label, texts[0], texts[1], texts[0] != texts[1]))
    return cells
