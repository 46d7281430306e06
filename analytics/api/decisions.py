"""Deciding about a proposal: approving, rejecting, cancelling and executing it, and taking its evidence."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from analytics.api import serializers
from analytics.models import RebalancingEvent
from analytics.services.approvals import event_approve, event_cancel, event_reject
from analytics.services.event_moves import EventConflict
from analytics.services.evidence_packs import pack_export
from analytics.services.execution.run import event_execute
from portfolio_site.kernel.errors import Conflict
from portfolios.models import RequestKey
from portfolios.selectors.visibility import limited_to
from portfolios.services.request_keys import RequestKeyConflict

KEY_HEADER = "Idempotency-Key"
KEY_LENGTH: int = RequestKey._meta.get_field("key").max_length or 0
KEY_PARAMETER = OpenApiParameter(
    KEY_HEADER,
    str,
    OpenApiParameter.HEADER,
    description="A name of the caller's own for this request: the same request again "
    "is carried out once, another one under the same key is a conflict (409).",
)
PACK_HEADER = "X-Manifest-SHA256"
PACK_TYPE = "application/zip"
EXAMPLE_HASH = "6f1ed002ab5595859014ebf0951522d96f1ed002ab5595859014ebf0951522d9"

approval_example = OpenApiExample(
    "An approval", {"proposal_hash": EXAMPLE_HASH, "note": "As discussed on Monday."}, request_only=True
)
rejection_example = OpenApiExample(
    "A rejection", {"proposal_hash": EXAMPLE_HASH, "note": "Not before the dividend."}, request_only=True
)
cancellation_example = OpenApiExample(
    "A cancellation",
    {"reason": "The client pays out next week.", "expected": "pending"},
    request_only=True,
)


class AnyAnswer(BaseContentNegotiation):
    """Whatever the caller accepts: a file is what it is, and its problems are told like all others."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, str(renderer.media_type)


class EventDecisionsViewSet(GenericViewSet):
    queryset = RebalancingEvent.objects.select_related("portfolio")
    serializer_class = serializers.RebalancingEventSerializer
    pagination_class = None
    filter_backends = ()

    def get_queryset(self) -> QuerySet[RebalancingEvent]:
        return limited_to(self.request.user, super().get_queryset())

    @extend_schema(
        parameters=[KEY_PARAMETER],
        request=serializers.ApprovalSerializer,
        responses=serializers.RebalancingEventSerializer,
        examples=[approval_example],
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve the proposal with this hash. The event is approved once enough have done so."""
        return self._decide(event_approve, serializers.ApprovalSerializer)

    @extend_schema(
        parameters=[KEY_PARAMETER],
        request=serializers.RejectionSerializer,
        responses=serializers.RebalancingEventSerializer,
        examples=[rejection_example],
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject the proposal with this hash, which ends the event."""
        return self._decide(event_reject, serializers.RejectionSerializer)

    @extend_schema(
        parameters=[KEY_PARAMETER],
        request=serializers.CancellationSerializer,
        responses=serializers.RebalancingEventSerializer,
        examples=[cancellation_example],
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Withdraw an event that is not being executed yet."""
        return self._decide(event_cancel, serializers.CancellationSerializer)

    @extend_schema(parameters=[KEY_PARAMETER], request=None, responses=serializers.RebalancingEventSerializer)
    @action(detail=True, methods=["post"])
    def execute(self, request: Request, pk: str) -> Response:
        """Carry out an approved event; it is then completed, executing or failed, as its status says."""
        return self._decide(event_execute)

    @extend_schema(
        responses={(200, PACK_TYPE): OpenApiTypes.BINARY},
        parameters=[
            OpenApiParameter(
                PACK_HEADER,
                str,
                OpenApiParameter.HEADER,
                response=[200],
                description="SHA-256 of the manifest, against which check_evidence_pack holds the file",
            )
        ],
    )
    @action(detail=True, url_path="evidence-pack", content_negotiation_class=AnyAnswer)
    def evidence_pack(self, request: Request, pk: str) -> HttpResponse:
        """All that the event came from and led to, as one ZIP file. Who takes it is in the audit trail."""
        event = self.get_object()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{event.portfolio.code}-event-{event.pk}.zip"
            pack = pack_export(event.pk, path, actor=request.user)
            content = path.read_bytes()
        return HttpResponse(
            content,
            content_type=PACK_TYPE,
            headers={
                "Content-Disposition": f'attachment; filename="{path.name}"',
                PACK_HEADER: pack.manifest_hash,
            },
        )

    def _decide(self, service: Any, shape: Any = None) -> Response:
        event, wish = self.get_object(), {}
        if shape is not None:
            body = shape(data=self.request.data)
            body.is_valid(raise_exception=True)
            wish = body.validated_data
        with conflicts_told():
            decided = service(event.pk, actor=self.request.user, key=self._key(), **wish)
        return Response(self.get_serializer(decided).data)

    def _key(self) -> str | None:
        key = self.request.headers.get(KEY_HEADER)
        if key is not None and not 1 <= len(key) <= KEY_LENGTH:
            raise ValidationError({KEY_HEADER: [f"{len(key)} characters; a key has from 1 to {KEY_LENGTH}"]})
        return key


@contextmanager
def conflicts_told() -> Iterator[None]:
    try:
        yield
    except (EventConflict, RequestKeyConflict) as error:
        raise Conflict(str(error)) from error
