import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portfolios", "0005_file_uploads"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="DataFinding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("date", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("missing_ohlc", "Missing open, high, low or volume"),
                            ("inconsistent_ohlc", "Inconsistent bar"),
                            ("missing_session", "Missing session"),
                            ("suspect_close", "Suspect close"),
                            ("unadjusted_action", "Unadjusted corporate action"),
                            ("stale_price", "Stale price"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "severity",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("error", "Error")], max_length=8
                    ),
                ),
                ("detail", models.TextField()),
                (
                    "measure",
                    models.FloatField(help_text="How much, in the unit of the kind: a fraction or a number"),
                ),
                (
                    "related_date",
                    models.DateField(blank=True, help_text="The other day that the detail names", null=True),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("accepted", "Accepted"), ("resolved", "Resolved")],
                        default="open",
                        max_length=8,
                    ),
                ),
                ("note", models.TextField(blank=True, default="")),
                ("first_seen_at", models.DateTimeField()),
                (
                    "last_seen_at",
                    models.DateTimeField(help_text="By the last check that found it new or changed"),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="data_findings",
                        to="portfolios.asset",
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "data_findings",
                "ordering": ["asset", "date", "kind"],
                "indexes": [models.Index(fields=["status", "severity"], name="data_findings_status")],
                "constraints": [
                    models.UniqueConstraint(fields=("asset", "date", "kind"), name="data_findings_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "accepted"), _negated=True),
                            models.Q(("note", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="data_findings_accepted_has_note",
                    ),
                ],
            },
        ),
    ]
