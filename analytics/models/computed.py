from django.db import models

from analytics.models.runs import AnalyticsRun

# Hexadecimal digits of the fingerprint of a row's inputs.
HASH_LENGTH = 32


class ComputedRow(models.Model):
    """What every computed row carries: who wrote it, from which inputs, with which code, what is unknown.

    Foreign keys of the history tables have no index of their own where a unique key begins with them or
    nobody reads by them: each index costs a write of millions of rows.
    """

    run = models.ForeignKey(
        AnalyticsRun, on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False
    )
    inputs_hash = models.CharField(max_length=HASH_LENGTH, blank=True, default="", editable=False)
    engine_version = models.CharField(max_length=16, blank=True, default="", editable=False)
    quality = models.JSONField(
        default=dict, blank=True, help_text="Why a figure is missing or to be read with care"
    )

    class Meta:
        abstract = True
