from django.conf import settings
from django.db import models
from django.db.models import Q

from portfolio_site.kernel import clock


class RequestKey(models.Model):
    """A request that was carried out under a key of its caller: the same again gets the same answer."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    key = models.CharField(max_length=128)
    action = models.CharField(max_length=64)
    request_hash = models.CharField(max_length=64)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        db_table = "request_keys"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="request_keys_once"),
            models.UniqueConstraint(
                fields=["key"], condition=Q(user__isnull=True), name="request_keys_once_of_nobody"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.key}"
