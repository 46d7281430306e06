"""Celery's face of the services. Messages carry ids; a message delivered twice does no harm."""

import datetime as dt
import logging

from celery import shared_task
from django.conf import settings

from portfolios.services import file_uploads
from portfolios.services.audit import audit_anchor, audit_verify
from portfolios.services.data_findings import findings_check
from portfolios.services.feeds import feeds_refresh

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


@shared_task(name=file_uploads.PREVIEW_TASK)
def preview_upload(upload_id: int) -> None:
    file_uploads.upload_preview(upload_id)


@shared_task(name=file_uploads.RUN_TASK)
def run_upload(upload_id: int) -> None:
    file_uploads.upload_run(upload_id)


@shared_task(name="portfolios.expire_uploads")
def expire_uploads() -> int:
    """Forget the uploads that nobody has confirmed."""
    expired = file_uploads.uploads_expire(dt.timedelta(settings.IMPORT_UPLOAD_DAYS))
    logger.info("%d uploads expired", expired)
    return expired


@shared_task(name="portfolios.fetch_prices")
def fetch_prices() -> bool:
    """Fetch and store what is new. What failed is logged, and asked for again the next time."""
    failures = feeds_refresh().failures
    for line in failures:
        logger.error("feed %s", line)
    return not failures


@shared_task(name="portfolios.check_data")
def check_data() -> dict[str, int]:
    """Check all stored prices. What is found is kept and shown; no price is changed."""
    report = findings_check()
    logger.info("prices checked: %s", report.summary())
    return report.as_json()
