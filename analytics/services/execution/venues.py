"""The venues there are, by the name that policies give. A new one is a class and a line here."""

from analytics.models import RebalancingEvent, RebalancingPolicy
from analytics.services.execution.order_file import OrderFileVenue
from analytics.services.execution.paper import PaperVenue
from analytics.services.execution.protocol import ExecutionVenue

VENUES: dict[str, ExecutionVenue] = {venue.name: venue for venue in (PaperVenue(), OrderFileVenue())}


def venue_of(event: RebalancingEvent, policy: RebalancingPolicy) -> ExecutionVenue:
    """The venue that the event names, else that of the policy."""
    return VENUES[event.venue or policy.venue]
