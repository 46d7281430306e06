"""Wiring: settings, urls, Celery, schedules. Business lives in `portfolios` and `analytics`."""

from portfolio_site.celery import app as celery_app

__all__ = ["celery_app"]
