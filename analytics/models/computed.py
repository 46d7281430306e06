from django.db import models

from analytics.models.runs import AnalyticsRun


class ComputedRow(models.Model):
    """What every computed row carries: who wrote it, from which inputs, with which code, what is unknown."""

    run = models.ForeignKey(
        AnalyticsRun, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    inputs_hash = models.CharField(max_length=32, blank=True, default="", editable=False)
    engine_version = models.CharField(max_length=16, blank=True, default="", editable=False)
    quality = models.JSONField(
        default=dict, blank=True, help_text="Why a figure is missing or to be read with care"
    )

    class Meta:
        abstract = True
