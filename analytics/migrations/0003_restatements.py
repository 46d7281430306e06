"""One restatement a row instead of one a figure: a correction of long ago changes every figure since.

No release before this one wrote restatements. Those of somebody who went back to it are gathered again.
"""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def figures_gather(apps: Any, schema_editor: Any) -> None:
    """All figures of a row that a run restated go into the first of its lines."""
    lines = apps.get_model("analytics", "Restatement").objects
    first_lines: dict[tuple[Any, ...], Any] = {}
    surplus = []
    for line in lines.order_by("id").iterator():
        row = (line.table_name, line.portfolio_id, line.asset_id, line.row_date, line.run_id)
        if row in first_lines:
            surplus.append(line)
        else:
            line.changes = {}
        first_lines.setdefault(row, line).changes[line.field] = [line.old_value, line.new_value]
    for line in first_lines.values():
        line.save(update_fields=["changes"])
    for line in surplus:
        line.delete()
    schema_editor.connection.check_constraints()


def figures_spread(apps: Any, schema_editor: Any) -> None:
    """One line a figure; what is no number, such as a level of risk, has no place there."""
    lines = apps.get_model("analytics", "Restatement").objects
    for line in list(lines.order_by("id")):
        for name, values in line.changes.items():
            line.field = name
            line.old_value, line.new_value = (_number(value) for value in values)
            line.save()
            line.pk = None
            line._state.adding = True
    # Tables are not altered while checks of foreign keys are pending.
    schema_editor.connection.check_constraints()


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


class Migration(migrations.Migration):
    dependencies = [("analytics", "0002_brin_indexes")]
    operations = [
        migrations.RemoveIndex(model_name="restatement", name="restatements_portfolio"),
        migrations.RemoveIndex(model_name="restatement", name="restatements_asset"),
        migrations.AddField(
            model_name="restatement",
            name="changes",
            field=models.JSONField(
                default=dict, help_text="By figure: what it was and what it is; money as text"
            ),
        ),
        migrations.AddField(
            model_name="restatement",
            name="causes",
            field=models.JSONField(blank=True, default=list, help_text="What had changed, and since when"),
        ),
        # On the way back the lines must be there before each of them has its figure.
        migrations.AlterField(
            model_name="restatement", name="field", field=models.CharField(max_length=64, null=True)
        ),
        migrations.RunPython(figures_gather, figures_spread),
        migrations.RemoveField(model_name="restatement", name="field"),
        migrations.RemoveField(model_name="restatement", name="old_value"),
        migrations.RemoveField(model_name="restatement", name="new_value"),
        migrations.AlterField(
            model_name="restatement",
            name="changes",
            field=models.JSONField(help_text="By figure: what it was and what it is; money as text"),
        ),
        migrations.AlterField(
            model_name="restatement",
            name="table_name",
            field=models.CharField(
                choices=[
                    ("portfolio_performance_history", "Performance history"),
                    ("portfolio_risk_metrics", "Risk metrics"),
                    ("asset_performance_metrics", "Asset metrics"),
                ],
                max_length=64,
                verbose_name="table",
            ),
        ),
        migrations.AlterField(
            model_name="restatement",
            name="cause",
            field=models.CharField(
                blank=True,
                choices=[
                    ("price", "Price"),
                    ("fx", "Exchange rate"),
                    ("transaction", "Transaction"),
                    ("corporate_action", "Corporate action"),
                    ("parameter", "Parameter"),
                    ("code", "Code"),
                ],
                default="",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="restatement",
            name="portfolio",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="portfolios.portfolio",
            ),
        ),
        migrations.AlterField(
            model_name="restatement",
            name="asset",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="portfolios.asset",
            ),
        ),
        migrations.AddConstraint(
            model_name="restatement",
            constraint=models.UniqueConstraint(
                fields=("portfolio", "row_date", "table_name", "run"), name="restatements_portfolio_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="restatement",
            constraint=models.UniqueConstraint(
                fields=("asset", "row_date", "table_name", "run"), name="restatements_asset_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="restatement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("asset__isnull", True), ("portfolio__isnull", False)),
                    models.Q(("asset__isnull", False), ("portfolio__isnull", True)),
                    _connector="OR",
                ),
                name="restatements_has_one_subject",
            ),
        ),
    ]
