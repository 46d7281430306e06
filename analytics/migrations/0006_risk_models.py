import django.db.models.deletion
from django.db import migrations, models


def _figure(help_text: str = "") -> models.FloatField:
    return models.FloatField(blank=True, help_text=help_text, null=True)


def _of_every_computed_row() -> list[tuple[str, models.Field]]:
    return [
        ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
        ("inputs_hash", models.CharField(blank=True, default="", editable=False, max_length=32)),
        ("engine_version", models.CharField(blank=True, default="", editable=False, max_length=16)),
        (
            "quality",
            models.JSONField(
                blank=True, default=dict, help_text="Why a figure is missing or to be read with care"
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
    ]


def _portfolio(related_name: str) -> models.ForeignKey:
    return models.ForeignKey(
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        to="portfolios.portfolio",
    )


def _method() -> models.CharField:
    return models.CharField(
        choices=[
            ("historical", "Historical"),
            ("normal", "Normal"),
            ("cornish_fisher", "Cornish–Fisher"),
        ],
        max_length=16,
    )


class Migration(migrations.Migration):
    dependencies = [("analytics", "0005_performance_columns")]

    operations = [
        migrations.AddField(
            model_name="portfolioriskmetrics",
            name="effective_bets",
            field=_figure("Entropy of the principal portfolios (Meucci 2009)"),
        ),
        migrations.CreateModel(
            name="PortfolioRiskContribution",
            fields=[
                *_of_every_computed_row(),
                ("calculation_date", models.DateField()),
                ("weight", _figure("Share of the portfolio's value, a short position negative")),
                ("volatility", _figure("Annualized, of the asset itself")),
                ("marginal_var", _figure("Value at risk per unit of weight")),
                ("component_var", _figure("Part of the portfolio's value at risk")),
                ("component_var_percentage", _figure("Percent of the portfolio's value at risk")),
                ("component_volatility", _figure("Part of the portfolio's volatility")),
                ("method", _method()),
                (
                    "asset",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="portfolios.asset",
                    ),
                ),
                ("portfolio", _portfolio("risk_contributions")),
            ],
            options={
                "verbose_name": "risk contribution",
                "db_table": "portfolio_risk_contributions",
                "ordering": ["portfolio", "-calculation_date", "-weight"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("portfolio", "asset", "calculation_date"),
                        name="portfolio_risk_contributions_unique",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PortfolioVarBacktest",
            fields=[
                *_of_every_computed_row(),
                ("calculation_date", models.DateField()),
                ("method", _method()),
                ("level", models.FloatField(help_text="Confidence: 0.95 or 0.99")),
                ("var", _figure()),
                ("cvar", _figure()),
                (
                    "window",
                    models.IntegerField(default=0, help_text="Number of returns behind the value at risk"),
                ),
                ("observations", models.IntegerField(default=0, help_text="Days tested")),
                (
                    "exceptions",
                    models.IntegerField(
                        blank=True, help_text="Days that lost more than was foretold", null=True
                    ),
                ),
                ("expected", _figure("Exceptions to be expected")),
                ("kupiec_lr", _figure()),
                ("kupiec_p", _figure()),
                ("christoffersen_lr", _figure()),
                ("christoffersen_p", _figure()),
                ("joint_lr", _figure()),
                ("joint_p", _figure()),
                (
                    "zone",
                    models.CharField(
                        blank=True,
                        choices=[("green", "Green"), ("yellow", "Yellow"), ("red", "Red")],
                        max_length=8,
                        null=True,
                    ),
                ),
                (
                    "zone_exceptions",
                    models.IntegerField(
                        blank=True, help_text="Exceptions on the last 250 days at 99 %", null=True
                    ),
                ),
                ("portfolio", _portfolio("var_backtests")),
            ],
            options={
                "verbose_name": "value-at-risk backtest",
                "db_table": "portfolio_var_backtests",
                "ordering": ["portfolio", "-calculation_date", "level", "method"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("portfolio", "calculation_date", "method", "level"),
                        name="portfolio_var_backtests_unique",
                    )
                ],
            },
        ),
    ]
