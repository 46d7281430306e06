"""What can be asked of the explorer, in its address."""

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.admin.widgets import AutocompleteSelect

from analytics.models import PortfolioAllocation
from analytics.selectors.correlation_maps import WINDOWS
from portfolios.models import Asset, Portfolio
from portfolios.selectors.visibility import User, visible_to

DEFAULT_WINDOW = "1y"


class AssetField(forms.CharField):
    """A symbol, or with its exchange (SYMBOL@XNAS) where several assets share it."""

    def clean(self, value: Any) -> Asset | None:
        text = super().clean(value)
        if not text:
            return None
        symbol, _, exchange = text.partition("@")
        rows = Asset.objects.filter(symbol__iexact=symbol)
        found = list(rows.filter(exchange__iexact=exchange) if exchange else rows)
        if not found:
            raise forms.ValidationError(f"There is no asset {text}.")
        if len(found) > 1:
            names = ", ".join(map(asset_text, found))
            raise forms.ValidationError(f"Several assets are called {text}: {names}.")
        return found[0]


def asset_text(asset: Asset) -> str:
    return f"{asset.symbol}@{asset.exchange}" if asset.exchange else asset.symbol


class MapForm(forms.Form):
    window = forms.ChoiceField(choices=[(slug, label) for slug, (_, label) in WINDOWS.items()])
    portfolio = forms.ModelChoiceField(Portfolio.objects.none(), required=False)
    significant = forms.BooleanField(required=False, label="Grey what is not significant")

    def __init__(self, data: Any, user: User, site: AdminSite) -> None:
        super().__init__({"window": DEFAULT_WINDOW, **data}, auto_id="map_%s")
        field = PortfolioAllocation._meta.get_field("portfolio")
        portfolio = forms.ModelChoiceField(
            visible_to(user),
            required=False,
            empty_label="",
            widget=AutocompleteSelect(field, site, attrs={"data-placeholder": "The longest histories"}),
        )
        self.fields["portfolio"] = portfolio


class PairForm(forms.Form):
    first = AssetField(max_length=40, label="First asset")
    second = AssetField(max_length=40, label="Second asset")

    def __init__(self, data: Any) -> None:
        is_asked = any(data.get(name) for name in ("first", "second"))
        super().__init__(data if is_asked else None, auto_id="pair_%s")

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("first") and given.get("first") == given.get("second"):
            raise forms.ValidationError("The pair needs two different assets.")
        return given
