"""Celery's face of the audit services."""

import logging

from celery import shared_task
from django.conf import settings

from portfolios.services.audit import audit_anchor, audit_verify

logger = logging.getLogger(__name__)


@shared_task(name="portfolios.check_audit_trail")
def check_audit_trail() -> bool:
    """Verify the chain, then anchor it. A broken chain is not anchored."""
    report = audit_verify(settings.AUDIT_ANCHOR_FILE)
    if not report.is_intact:
        logger.error("audit trail broken at %s: %s", report.broken_at, report.reason)
        return False
    audit_anchor(settings.AUDIT_ANCHOR_FILE)
    return True
