from django.core.validators import RegexValidator
from django.db import models


class Currency(models.Model):
    """An ISO 4217 currency; the code is the key, so that every table reads plainly."""

    code = models.CharField(max_length=3, primary_key=True, validators=[RegexValidator(r"^[A-Z]{3}$")])
    name = models.CharField(max_length=64)
    minor_units = models.PositiveSmallIntegerField(default=2)

    class Meta:
        db_table = "currencies"
        ordering = ["code"]
        verbose_name_plural = "currencies"

    def __str__(self) -> str:
        return self.code
