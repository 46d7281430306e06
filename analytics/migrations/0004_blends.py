import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0003_restatements"), ("portfolios", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="BlendedBenchmark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "rebalance_frequency",
                    models.CharField(
                        choices=[
                            ("daily", "Daily"),
                            ("weekly", "Weekly"),
                            ("monthly", "Monthly"),
                            ("quarterly", "Quarterly"),
                            ("semiannual", "Twice a year"),
                            ("annual", "Yearly"),
                            ("none", "Never"),
                        ],
                        default="monthly",
                        max_length=12,
                    ),
                ),
                (
                    "start_date",
                    models.DateField(
                        blank=True,
                        help_text="The first day with a return; as early as prices allow when empty",
                        null=True,
                    ),
                ),
                (
                    "asset",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="blend",
                        to="portfolios.asset",
                    ),
                ),
            ],
            options={"db_table": "blended_benchmarks", "ordering": ["asset"]},
        ),
        migrations.CreateModel(
            name="BlendComponent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("weight_percentage", models.DecimalField(decimal_places=6, max_digits=9)),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portfolios.asset"
                    ),
                ),
                (
                    "blend",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="components",
                        to="analytics.blendedbenchmark",
                    ),
                ),
            ],
            options={
                "db_table": "blend_components",
                "ordering": ["blend", "-weight_percentage", "asset"],
                "constraints": [
                    models.UniqueConstraint(fields=["blend", "asset"], name="blend_components_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("weight_percentage__gt", 0), ("weight_percentage__lte", 100)),
                        name="blend_components_weight",
                    ),
                ],
            },
        ),
    ]
