"""Wiring: settings, urls, Celery, schedules. Business lives in `portfolios` and `analytics`."""

import os

# One BLAS thread a process, set before numpy is loaded: with a busy neighbour two were measured 4.7 times
# slower than one, and workers are many.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from portfolio_site.celery import app as celery_app

__all__ = ["celery_app"]
