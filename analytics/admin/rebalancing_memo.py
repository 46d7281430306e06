"""The memo of a rebalancing: its review on paper."""

from django.http import HttpRequest, HttpResponse

from analytics.admin import rebalancing_review as review
from analytics.models import RebalancingEvent
from portfolio_site.kernel import clock
from portfolio_site.kernel.reports import report_response


def rebalancing_memo(request: HttpRequest, event: RebalancingEvent) -> HttpResponse:
    context = {
        "title": f"{event.portfolio.code}: rebalancing {event.pk}",
        "subtitle": f"{event.portfolio.name}, valued on {event.valuation_date}, "
        f"{event.get_event_type_display().lower()} trigger, {event.get_status_display().lower()}",
        "words": [
            review.traded_in_words(event),
            review.quality_in_words(event),
            review.approvals_in_words(event),
        ],
        "remarks": review.remarks(event),
        "tables": review.review_tables(event),
        "proposal_hash": event.proposal_hash,
        "version": event.version,
        "made_at": clock.now(),
        "engine_version": event.engine_version,
    }
    return report_response(
        request, "reports/memo.html", context, f"{event.portfolio.code}-rebalancing-{event.pk}"
    )
