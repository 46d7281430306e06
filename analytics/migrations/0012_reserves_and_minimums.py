from decimal import Decimal

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portfolio_site.kernel.clock


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0011_immutable_versions"),
        ("portfolios", "0008_audit_triggers_rowid"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CashReserve",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("fee", "Fee"),
                            ("withdrawal", "Withdrawal"),
                            ("distribution", "Distribution"),
                            ("tax", "Tax"),
                            ("other", "Other"),
                        ],
                        max_length=16,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=6, help_text="Base currency", max_digits=24)),
                ("due_date", models.DateField()),
                ("note", models.CharField(max_length=500)),
                ("created_at", models.DateTimeField(default=portfolio_site.kernel.clock.now)),
                (
                    "ended_on",
                    models.DateField(blank=True, help_text="From this day on it is not kept back", null=True),
                ),
            ],
            options={
                "db_table": "cash_reserves",
                "ordering": ["portfolio", "due_date", "id"],
            },
        ),
        migrations.CreateModel(
            name="MinimumTrade",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "asset_class",
                    models.CharField(
                        choices=[
                            ("equity", "Equity"),
                            ("etf", "ETF"),
                            ("fund", "Fund"),
                            ("bond", "Bond"),
                            ("crypto", "Crypto"),
                            ("commodity", "Commodity"),
                            ("index", "Index"),
                            ("cash", "Cash"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=6, default=Decimal("0"), help_text="Base currency", max_digits=24
                    ),
                ),
                (
                    "percentage",
                    models.DecimalField(
                        decimal_places=6,
                        default=Decimal("0"),
                        help_text="The larger of the two holds",
                        max_digits=9,
                    ),
                ),
            ],
            options={
                "db_table": "minimum_trades",
                "ordering": ["policy", "asset_class"],
            },
        ),
        migrations.AddField(
            model_name="rebalancingpolicy",
            name="minimum_trade_tolerance",
            field=models.DecimalField(
                decimal_places=6,
                default=Decimal("0"),
                help_text="Percent by which a trade may fall short of its minimum",
                max_digits=9,
            ),
        ),
        migrations.AddField(
            model_name="rebalancingpolicy",
            name="reserve_horizon_days",
            field=models.PositiveSmallIntegerField(
                default=30, help_text="Dated reserves due within so many days are kept back as well"
            ),
        ),
        migrations.AddField(
            model_name="rebalancingpolicy",
            name="settlement_days",
            field=models.PositiveSmallIntegerField(
                default=2, help_text="Weekdays from a trade to its settlement"
            ),
        ),
        migrations.AddConstraint(
            model_name="rebalancingpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(("minimum_trade_tolerance__gte", 0), ("minimum_trade_tolerance__lt", 100)),
                name="rebalancing_policies_tolerance",
            ),
        ),
        migrations.AddField(
            model_name="cashreserve",
            name="ended_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="cashreserve",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="cashreserve",
            name="portfolio",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="cash_reserves",
                to="portfolios.portfolio",
            ),
        ),
        migrations.AddField(
            model_name="minimumtrade",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="minimum_trades",
                to="analytics.rebalancingpolicy",
            ),
        ),
        migrations.AddConstraint(
            model_name="cashreserve",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="cash_reserves_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="cashreserve",
            constraint=models.CheckConstraint(
                condition=models.Q(("note", ""), _negated=True), name="cash_reserves_note"
            ),
        ),
        migrations.AddConstraint(
            model_name="cashreserve",
            constraint=models.CheckConstraint(
                condition=models.Q(("ended_by__isnull", True), ("ended_on__isnull", False), _connector="OR"),
                name="cash_reserves_ended",
            ),
        ),
        migrations.AddConstraint(
            model_name="minimumtrade",
            constraint=models.UniqueConstraint(fields=("policy", "asset_class"), name="minimum_trades_once"),
        ),
        migrations.AddConstraint(
            model_name="minimumtrade",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0), ("percentage__gte", 0), ("percentage__lte", 100)),
                name="minimum_trades_figures",
            ),
        ),
    ]
