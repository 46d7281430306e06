"""The explorer's address: the map, or with two symbols the pair."""

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from analytics.admin.correlation_explorer.forms import MapForm, PairForm
from analytics.admin.correlation_explorer.heat_map import map_content
from analytics.admin.correlation_explorer.pair import pair_content
from analytics.admin.pages import Content, Heading, content_response

TEMPLATE = "admin/correlations/explorer.html"


def explorer_view(admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    if not admin.has_view_permission(request):
        raise PermissionDenied
    trail = [("Correlations", reverse("admin:analytics_assetcorrelation_changelist"))]
    data = {name: request.GET[name] for name in request.GET}
    map_form, pair_form = MapForm(data, request.user, admin.admin_site), PairForm(data)
    context = {"map_form": map_form, "pair_form": pair_form, "media": admin.media, "is_pair": False}
    if pair_form.is_valid():
        first, second = (pair_form.cleaned_data[name] for name in ("first", "second"))
        trail.append(("Explorer", reverse("admin:correlation_explorer")))
        heading = Heading(f"{first} and {second}", "how they moved together", trail)
        context["is_pair"] = True
        return content_response(request, admin, heading, pair_content(first, second), context)
    heading = Heading("Correlation explorer", "", trail)
    asked_pair = pair_form.is_bound or not map_form.is_valid()
    content = Content(template=TEMPLATE) if asked_pair else map_content(map_form.cleaned_data)
    return content_response(request, admin, heading, content, context)
