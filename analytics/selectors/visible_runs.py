"""Who sees which run."""

from typing import Any

from django.db.models import BooleanField, F, Func, Q, QuerySet, Subquery

from analytics.models import AnalyticsRun
from portfolios.selectors.visibility import User, sees_everything, visible_to


class _NamesOnly(Func):
    """Whether every text of a JSON list is in a subquery; Django has no such lookup for both databases."""

    # The subquery brings its own parentheses; a second pair would make it a single value.
    template = "NOT EXISTS (SELECT 1 FROM %(function)s(%(expressions)s)"
    arg_joiner = ") AS named WHERE named.value NOT IN "
    output_field = BooleanField()

    def as_sqlite(self, compiler: Any, connection: Any, **options: Any) -> Any:
        return self.as_sql(compiler, connection, function="json_each", **options)

    def as_postgresql(self, compiler: Any, connection: Any, **options: Any) -> Any:
        return self.as_sql(compiler, connection, function="jsonb_array_elements_text", **options)


def visible_runs(user: User) -> QuerySet[AnalyticsRun]:
    """Runs whose portfolios the user may see, all of them; one over the whole house is its requester's."""
    runs = AnalyticsRun.objects.select_related("requested_by")
    if not user.is_authenticated:
        return runs.none()
    if sees_everything(user):
        return runs
    named = ~Q(portfolio_codes=[])
    seen = _NamesOnly(F("portfolio_codes"), Subquery(visible_to(user).values("code")))
    return runs.filter(Q(portfolio_codes=[], requested_by=user) | (named & Q(seen)))
