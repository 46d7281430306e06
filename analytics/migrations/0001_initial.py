import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import portfolio_site.kernel.clock


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("portfolios", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AnalyticsRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("partial", "Done with errors"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("calculation_date", models.DateField(help_text="The last day computed")),
                ("from_date", models.DateField(blank=True, help_text="Empty: whatever is stale", null=True)),
                ("only", models.JSONField(blank=True, default=list, help_text="Sections; empty means all")),
                ("portfolio_codes", models.JSONField(blank=True, default=list, help_text="Empty means all")),
                ("stage", models.CharField(blank=True, default="plan", max_length=32)),
                ("done", models.PositiveIntegerField(default=0)),
                ("total", models.PositiveIntegerField(default=0)),
                (
                    "mark_watermark",
                    models.BigIntegerField(default=0, help_text="Stale marks up to this id were planned"),
                ),
                ("rows", models.JSONField(blank=True, default=dict, help_text="Rows written, by table")),
                ("issues", models.JSONField(blank=True, default=list)),
                ("error", models.TextField(blank=True, default="")),
                ("engine_version", models.CharField(max_length=16)),
                ("created_at", models.DateTimeField(default=portfolio_site.kernel.clock.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                (
                    "requested_by",
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
                "db_table": "analytics_runs",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="RebalancingEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "event_type",
                    models.CharField(
                        choices=[
                            ("scheduled", "Scheduled"),
                            ("threshold", "Threshold"),
                            ("manual", "Manual"),
                            ("cash_flow", "Cash flow"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("approved", "Approved"),
                            ("executing", "Executing"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("rejected", "Rejected"),
                            ("cancelled", "Cancelled"),
                            ("expired", "Expired"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("full", "Full: every line to its target"),
                            ("bands", "Bands: only lines outside their band"),
                            ("invest_cash", "Invest cash: buy only"),
                            ("raise_cash", "Raise cash: sell only"),
                        ],
                        max_length=12,
                    ),
                ),
                ("valuation_date", models.DateField()),
                ("trigger", models.JSONField(default=dict, help_text="Evidence: which weight, band, price")),
                ("pre_state", models.JSONField(default=dict)),
                ("post_state", models.JSONField(blank=True, null=True)),
                ("actions", models.JSONField(default=list, help_text="The trades, one object a line")),
                (
                    "outcomes",
                    models.JSONField(default=list, help_text="What was decided for every line, and why"),
                ),
                ("proposal_hash", models.CharField(max_length=64)),
                ("estimated_cost", models.DecimalField(decimal_places=6, default=0, max_digits=24)),
                ("actual_cost", models.DecimalField(blank=True, decimal_places=6, max_digits=24, null=True)),
                (
                    "estimated_tax",
                    models.DecimalField(blank=True, decimal_places=6, max_digits=24, null=True),
                ),
                ("actual_tax", models.DecimalField(blank=True, decimal_places=6, max_digits=24, null=True)),
                ("turnover", models.FloatField(blank=True, null=True)),
                (
                    "drift_before",
                    models.FloatField(blank=True, help_text="Percent of the portfolio", null=True),
                ),
                (
                    "drift_after",
                    models.FloatField(blank=True, help_text="Percent of the portfolio", null=True),
                ),
                ("tracking_distance", models.FloatField(blank=True, null=True)),
                (
                    "optimality_gap",
                    models.FloatField(blank=True, help_text="0 when the optimum is proven", null=True),
                ),
                ("created_at", models.DateTimeField(default=portfolio_site.kernel.clock.now)),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("version", models.PositiveIntegerField(default=1)),
                ("engine_version", models.CharField(blank=True, default="", max_length=16)),
                (
                    "approved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "portfolio",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rebalancing_events",
                        to="portfolios.portfolio",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "db_table": "rebalancing_events",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "decision",
                    models.CharField(
                        choices=[("approved", "Approved"), ("rejected", "Rejected")], max_length=8
                    ),
                ),
                ("level", models.PositiveSmallIntegerField(default=1)),
                ("proposal_hash", models.CharField(max_length=64)),
                ("note", models.CharField(blank=True, default="", max_length=1000)),
                ("created_at", models.DateTimeField(default=portfolio_site.kernel.clock.now)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "event",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="analytics.rebalancingevent",
                    ),
                ),
            ],
            options={
                "db_table": "approvals",
                "ordering": ["event", "created_at"],
            },
        ),
        migrations.CreateModel(
            name="RebalancingPolicy",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("full", "Full: every line to its target"),
                            ("bands", "Bands: only lines outside their band"),
                            ("invest_cash", "Invest cash: buy only"),
                            ("raise_cash", "Raise cash: sell only"),
                        ],
                        default="bands",
                        max_length=12,
                    ),
                ),
                ("cash_target_percentage", models.DecimalField(decimal_places=6, default=0, max_digits=9)),
                (
                    "cash_reserve",
                    models.DecimalField(
                        decimal_places=6, default=0, help_text="Base currency", max_digits=24
                    ),
                ),
                (
                    "minimum_trade",
                    models.DecimalField(
                        decimal_places=6, default=0, help_text="Base currency", max_digits=24
                    ),
                ),
                (
                    "fee_per_trade",
                    models.DecimalField(
                        decimal_places=6, default=0, help_text="Base currency", max_digits=24
                    ),
                ),
                (
                    "cost_rate",
                    models.DecimalField(
                        decimal_places=8, default=0, help_text="Fraction of traded value", max_digits=9
                    ),
                ),
                (
                    "turnover_cap",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Largest turnover, fraction of value",
                        max_digits=9,
                        null=True,
                    ),
                ),
                (
                    "lot_method",
                    models.CharField(
                        choices=[
                            ("fifo", "First in, first out"),
                            ("lifo", "Last in, first out"),
                            ("hifo", "Highest cost first"),
                            ("average", "Average cost"),
                        ],
                        default="fifo",
                        max_length=8,
                    ),
                ),
                (
                    "band_destination",
                    models.CharField(
                        choices=[
                            ("target", "The target"),
                            ("edge", "The edge of the band"),
                            ("inner", "The inner edge (half the band)"),
                        ],
                        default="target",
                        max_length=8,
                    ),
                ),
                ("cool_off_days", models.PositiveSmallIntegerField(default=0)),
                ("approvals_needed", models.PositiveSmallIntegerField(default=1)),
                ("expiry_hours", models.PositiveSmallIntegerField(default=72)),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "portfolio",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="rebalancing_policy",
                        to="portfolios.portfolio",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "rebalancing policies",
                "db_table": "rebalancing_policies",
                "ordering": ["portfolio"],
            },
        ),
        migrations.CreateModel(
            name="Restatement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("table_name", models.CharField(max_length=64)),
                ("row_date", models.DateField()),
                ("field", models.CharField(max_length=64)),
                ("old_value", models.FloatField(blank=True, null=True)),
                ("new_value", models.FloatField(blank=True, null=True)),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("price", "Price"),
                            ("fx", "Exchange rate"),
                            ("transaction", "Transaction"),
                            ("corporate_action", "Corporate action"),
                            ("parameter", "Parameter"),
                            ("code", "Code"),
                        ],
                        max_length=20,
                    ),
                ),
                ("created_at", models.DateTimeField(default=portfolio_site.kernel.clock.now)),
                (
                    "asset",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portfolios.asset",
                    ),
                ),
                (
                    "portfolio",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portfolios.portfolio",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "db_table": "restatements",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="RunChunk",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("assets", "Asset metrics"),
                            ("correlations", "Correlations"),
                            ("portfolios", "Portfolios"),
                        ],
                        max_length=16,
                    ),
                ),
                ("work", models.JSONField(help_text="Ids and dates only")),
                ("units", models.PositiveIntegerField(default=1)),
                (
                    "status",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("done", "Done"), ("failed", "Failed")],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("rows", models.JSONField(blank=True, default=dict)),
                ("issues", models.JSONField(blank=True, default=list)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chunks",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "db_table": "analytics_run_chunks",
                "ordering": ["run", "number"],
            },
        ),
        migrations.CreateModel(
            name="AssetCorrelation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
                (
                    "quality",
                    models.JSONField(
                        blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
                    ),
                ),
                ("calculation_date", models.DateField()),
                ("correlation_1m", models.FloatField(blank=True, null=True)),
                ("correlation_3m", models.FloatField(blank=True, null=True)),
                ("correlation_6m", models.FloatField(blank=True, null=True)),
                ("correlation_1y", models.FloatField(blank=True, null=True)),
                ("correlation_3y", models.FloatField(blank=True, null=True)),
                ("rolling_20d", models.FloatField(blank=True, null=True)),
                ("rolling_60d", models.FloatField(blank=True, null=True)),
                ("p_value_1m", models.FloatField(blank=True, null=True)),
                ("p_value_3m", models.FloatField(blank=True, null=True)),
                ("p_value_6m", models.FloatField(blank=True, null=True)),
                ("p_value_1y", models.FloatField(blank=True, null=True)),
                ("p_value_3y", models.FloatField(blank=True, null=True)),
                ("p_value_20d", models.FloatField(blank=True, null=True)),
                ("p_value_60d", models.FloatField(blank=True, null=True)),
                ("observations_1m", models.IntegerField(blank=True, null=True)),
                ("observations_3m", models.IntegerField(blank=True, null=True)),
                ("observations_6m", models.IntegerField(blank=True, null=True)),
                ("observations_1y", models.IntegerField(blank=True, null=True)),
                ("observations_3y", models.IntegerField(blank=True, null=True)),
                ("observations_20d", models.IntegerField(blank=True, null=True)),
                ("observations_60d", models.IntegerField(blank=True, null=True)),
                ("q_value_1y", models.FloatField(blank=True, null=True)),
                ("is_significant", models.BooleanField(blank=True, null=True)),
                (
                    "asset1",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portfolios.asset",
                    ),
                ),
                (
                    "asset2",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portfolios.asset"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "correlation",
                "db_table": "asset_correlations",
                "ordering": ["asset1", "asset2", "-calculation_date"],
                "indexes": [models.Index(fields=["calculation_date"], name="asset_correlations_date")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("asset1", "asset2", "calculation_date"), name="asset_correlations_unique"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("asset1_id__lt", models.F("asset2_id"))),
                        name="asset_correlations_ordered_pair",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AssetPerformanceMetrics",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
                (
                    "quality",
                    models.JSONField(
                        blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
                    ),
                ),
                ("calculation_date", models.DateField()),
                ("close", models.FloatField(blank=True, null=True)),
                ("sma_20", models.FloatField(blank=True, null=True)),
                ("sma_50", models.FloatField(blank=True, null=True)),
                ("sma_200", models.FloatField(blank=True, null=True)),
                ("ema_12", models.FloatField(blank=True, null=True)),
                ("ema_26", models.FloatField(blank=True, null=True)),
                ("rsi_14", models.FloatField(blank=True, null=True)),
                ("macd", models.FloatField(blank=True, null=True)),
                ("macd_signal", models.FloatField(blank=True, null=True)),
                ("macd_histogram", models.FloatField(blank=True, null=True)),
                ("bollinger_upper", models.FloatField(blank=True, null=True)),
                ("bollinger_middle", models.FloatField(blank=True, null=True)),
                ("bollinger_lower", models.FloatField(blank=True, null=True)),
                ("atr_14", models.FloatField(blank=True, null=True)),
                ("stochastic_k", models.FloatField(blank=True, null=True)),
                ("stochastic_d", models.FloatField(blank=True, null=True)),
                ("obv", models.FloatField(blank=True, null=True)),
                ("volatility_20d", models.FloatField(blank=True, null=True)),
                ("volatility_1y", models.FloatField(blank=True, null=True)),
                ("beta_1y", models.FloatField(blank=True, null=True)),
                ("sharpe_ratio_1y", models.FloatField(blank=True, null=True)),
                ("max_drawdown_1y", models.FloatField(blank=True, null=True)),
                ("return_1d", models.FloatField(blank=True, null=True)),
                ("return_1m", models.FloatField(blank=True, null=True)),
                ("return_3m", models.FloatField(blank=True, null=True)),
                ("return_6m", models.FloatField(blank=True, null=True)),
                ("return_1y", models.FloatField(blank=True, null=True)),
                ("return_3y", models.FloatField(blank=True, null=True)),
                ("return_5y", models.FloatField(blank=True, null=True)),
                (
                    "asset",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="metrics",
                        to="portfolios.asset",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "asset metrics row",
                "verbose_name_plural": "asset metrics",
                "db_table": "asset_performance_metrics",
                "ordering": ["asset", "-calculation_date"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("asset", "calculation_date"), name="asset_performance_metrics_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PortfolioAllocation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
                (
                    "quality",
                    models.JSONField(
                        blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
                    ),
                ),
                ("target_percentage", models.DecimalField(decimal_places=6, max_digits=9)),
                ("min_percentage", models.DecimalField(decimal_places=6, default=0, max_digits=9)),
                ("max_percentage", models.DecimalField(decimal_places=6, default=100, max_digits=9)),
                (
                    "rebalance_threshold",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Band in percentage points",
                        max_digits=9,
                        null=True,
                    ),
                ),
                (
                    "rebalance_threshold_relative",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        help_text="Band in percent of the target",
                        max_digits=9,
                        null=True,
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
                        default="none",
                        max_length=12,
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "current_value",
                    models.DecimalField(
                        blank=True, decimal_places=6, editable=False, max_digits=24, null=True
                    ),
                ),
                ("current_percentage", models.FloatField(blank=True, editable=False, null=True)),
                (
                    "drift_percentage",
                    models.FloatField(
                        blank=True,
                        editable=False,
                        help_text="Current minus target, percentage points",
                        null=True,
                    ),
                ),
                ("is_breached", models.BooleanField(blank=True, editable=False, null=True)),
                ("calculation_date", models.DateField(blank=True, editable=False, null=True)),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocations",
                        to="portfolios.asset",
                    ),
                ),
                (
                    "portfolio",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="allocations",
                        to="portfolios.portfolio",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "allocation",
                "db_table": "portfolio_allocations",
                "ordering": ["portfolio", "-target_percentage"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("portfolio", "asset"), name="portfolio_allocations_unique"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("min_percentage__gte", 0),
                            ("min_percentage__lte", models.F("target_percentage")),
                            ("target_percentage__lte", models.F("max_percentage")),
                            ("max_percentage__lte", 100),
                        ),
                        name="portfolio_allocations_min_target_max",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("rebalance_threshold__isnull", True),
                                ("rebalance_threshold__gte", 0),
                                _connector="OR",
                            ),
                            models.Q(
                                ("rebalance_threshold_relative__isnull", True),
                                ("rebalance_threshold_relative__gte", 0),
                                _connector="OR",
                            ),
                        ),
                        name="portfolio_allocations_thresholds",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PortfolioBenchmark",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
                (
                    "quality",
                    models.JSONField(
                        blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
                    ),
                ),
                ("is_primary", models.BooleanField(default=False)),
                ("start_date", models.DateField(blank=True, null=True)),
                ("is_active", models.BooleanField(default=True)),
                ("tracking_error", models.FloatField(blank=True, editable=False, null=True)),
                ("information_ratio", models.FloatField(blank=True, editable=False, null=True)),
                ("beta", models.FloatField(blank=True, editable=False, null=True)),
                ("alpha", models.FloatField(blank=True, editable=False, null=True)),
                ("excess_return", models.FloatField(blank=True, editable=False, null=True)),
                ("correlation", models.FloatField(blank=True, editable=False, null=True)),
                ("r_squared", models.FloatField(blank=True, editable=False, null=True)),
                ("up_capture", models.FloatField(blank=True, editable=False, null=True)),
                ("down_capture", models.FloatField(blank=True, editable=False, null=True)),
                (
                    "calculation_date",
                    models.DateField(blank=True, editable=False, help_text="The last day used", null=True),
                ),
                ("calculated_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "window",
                    models.IntegerField(
                        blank=True, editable=False, help_text="Number of returns used", null=True
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="portfolios.asset"
                    ),
                ),
                (
                    "portfolio",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="benchmarks",
                        to="portfolios.portfolio",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "benchmark",
                "db_table": "portfolio_benchmarks",
                "ordering": ["portfolio", "-is_primary", "asset"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("portfolio", "asset"), name="portfolio_benchmarks_unique"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_primary", True)),
                        fields=("portfolio",),
                        name="portfolio_benchmarks_one_primary",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PortfolioPerformanceHistory",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
                (
                    "quality",
                    models.JSONField(
                        blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
                    ),
                ),
                ("snapshot_date", models.DateField()),
                ("total_value", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("invested_value", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("cash_value", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("cost_basis", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("net_flow", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("cumulative_net_flow", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("realized_pnl", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("unrealized_pnl", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("income", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("fees", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("taxes", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("fx_on_cash", models.DecimalField(decimal_places=6, max_digits=24, null=True)),
                ("daily_return", models.FloatField(blank=True, null=True)),
                ("twr_index", models.FloatField(blank=True, null=True)),
                ("cumulative_return", models.FloatField(blank=True, null=True)),
                ("return_1m", models.FloatField(blank=True, null=True)),
                ("return_3m", models.FloatField(blank=True, null=True)),
                ("return_6m", models.FloatField(blank=True, null=True)),
                ("return_ytd", models.FloatField(blank=True, null=True)),
                ("return_1y", models.FloatField(blank=True, null=True)),
                ("return_3y", models.FloatField(blank=True, null=True)),
                ("return_5y", models.FloatField(blank=True, null=True)),
                ("annualized_return", models.FloatField(blank=True, null=True)),
                ("money_weighted_return", models.FloatField(blank=True, null=True)),
                ("volatility", models.FloatField(blank=True, null=True)),
                ("downside_deviation", models.FloatField(blank=True, null=True)),
                ("sharpe_ratio", models.FloatField(blank=True, null=True)),
                ("sortino_ratio", models.FloatField(blank=True, null=True)),
                ("max_drawdown", models.FloatField(blank=True, null=True)),
                ("current_drawdown", models.FloatField(blank=True, null=True)),
                ("var_95", models.FloatField(blank=True, null=True)),
                ("var_99", models.FloatField(blank=True, null=True)),
                ("beta", models.FloatField(blank=True, null=True)),
                ("alpha", models.FloatField(blank=True, null=True)),
                ("benchmark_return", models.FloatField(blank=True, null=True)),
                ("benchmark_cumulative_return", models.FloatField(blank=True, null=True)),
                ("excess_return", models.FloatField(blank=True, null=True)),
                ("tracking_error", models.FloatField(blank=True, null=True)),
                ("information_ratio", models.FloatField(blank=True, null=True)),
                (
                    "benchmark",
                    models.ForeignKey(
                        db_index=False,
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portfolios.asset",
                    ),
                ),
                (
                    "portfolio",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="performance_history",
                        to="portfolios.portfolio",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "performance snapshot",
                "verbose_name_plural": "performance history",
                "db_table": "portfolio_performance_history",
                "ordering": ["portfolio", "-snapshot_date"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("portfolio", "snapshot_date"), name="portfolio_performance_history_unique"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PortfolioRiskMetrics",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
                ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
                (
                    "quality",
                    models.JSONField(
                        blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
                    ),
                ),
                ("calculation_date", models.DateField()),
                ("sharpe_ratio", models.FloatField(blank=True, null=True)),
                ("sortino_ratio", models.FloatField(blank=True, null=True)),
                ("treynor_ratio", models.FloatField(blank=True, null=True)),
                ("calmar_ratio", models.FloatField(blank=True, null=True)),
                ("max_drawdown", models.FloatField(blank=True, null=True)),
                (
                    "max_drawdown_duration",
                    models.IntegerField(blank=True, help_text="Calendar days", null=True),
                ),
                ("current_drawdown", models.FloatField(blank=True, null=True)),
                ("var_95_1d", models.FloatField(blank=True, null=True)),
                ("var_99_1d", models.FloatField(blank=True, null=True)),
                ("var_95_1m", models.FloatField(blank=True, null=True)),
                ("var_99_1m", models.FloatField(blank=True, null=True)),
                ("cvar_95_1d", models.FloatField(blank=True, null=True)),
                ("cvar_99_1d", models.FloatField(blank=True, null=True)),
                ("cvar_95_1m", models.FloatField(blank=True, null=True)),
                ("cvar_99_1m", models.FloatField(blank=True, null=True)),
                (
                    "risk_level",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("very_low", "Very low"),
                            ("low", "Low"),
                            ("medium", "Medium"),
                            ("high", "High"),
                            ("very_high", "Very high"),
                        ],
                        max_length=10,
                        null=True,
                    ),
                ),
                ("risk_class", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("concentration_hhi", models.FloatField(blank=True, null=True)),
                ("effective_assets", models.FloatField(blank=True, null=True)),
                ("largest_weight_percentage", models.FloatField(blank=True, null=True)),
                ("average_correlation", models.FloatField(blank=True, null=True)),
                ("max_correlation", models.FloatField(blank=True, null=True)),
                ("diversification_ratio", models.FloatField(blank=True, null=True)),
                ("volatility", models.FloatField(blank=True, null=True)),
                ("var_method", models.CharField(blank=True, max_length=16, null=True)),
                ("observations", models.IntegerField(default=0)),
                (
                    "portfolio",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="risk_metrics",
                        to="portfolios.portfolio",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="analytics.analyticsrun",
                    ),
                ),
            ],
            options={
                "verbose_name": "risk metrics row",
                "verbose_name_plural": "risk metrics",
                "db_table": "portfolio_risk_metrics",
                "ordering": ["portfolio", "-calculation_date"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("portfolio", "calculation_date"), name="portfolio_risk_metrics_unique"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="rebalancingevent",
            index=models.Index(fields=["portfolio", "-created_at"], name="rebalancing_events_portfolio"),
        ),
        migrations.AddConstraint(
            model_name="rebalancingevent",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["pending", "approved", "executing"])),
                fields=("portfolio",),
                name="rebalancing_events_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="rebalancingevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by__isnull", True),
                    ("requested_by__isnull", True),
                    models.Q(("approved_by", models.F("requested_by")), _negated=True),
                    _connector="OR",
                ),
                name="rebalancing_events_maker_not_checker",
            ),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.UniqueConstraint(
                fields=("event", "proposal_hash", "user"), name="approvals_one_voice_each"
            ),
        ),
        migrations.AddConstraint(
            model_name="rebalancingpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(("cash_target_percentage__gte", 0), ("cash_target_percentage__lte", 100)),
                name="rebalancing_policies_cash_target",
            ),
        ),
        migrations.AddConstraint(
            model_name="rebalancingpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cash_reserve__gte", 0),
                    ("minimum_trade__gte", 0),
                    ("fee_per_trade__gte", 0),
                    ("cost_rate__gte", 0),
                    ("cost_rate__lt", 1),
                ),
                name="rebalancing_policies_costs",
            ),
        ),
        migrations.AddConstraint(
            model_name="rebalancingpolicy",
            constraint=models.CheckConstraint(
                condition=models.Q(("approvals_needed__gte", 1)), name="rebalancing_policies_approvals_needed"
            ),
        ),
        migrations.AddIndex(
            model_name="restatement",
            index=models.Index(fields=["portfolio", "row_date"], name="restatements_portfolio"),
        ),
        migrations.AddIndex(
            model_name="restatement",
            index=models.Index(fields=["asset", "row_date"], name="restatements_asset"),
        ),
        migrations.AddConstraint(
            model_name="runchunk",
            constraint=models.UniqueConstraint(fields=("run", "number"), name="analytics_run_chunks_unique"),
        ),
    ]
