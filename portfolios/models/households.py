from django.db import models


class Household(models.Model):
    """Portfolios of people who are one before the tax law: a loss here is washed by a purchase there."""

    code = models.CharField(max_length=32, unique=True)
    name = models.CharField(max_length=200)

    class Meta:
        db_table = "households"
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code
