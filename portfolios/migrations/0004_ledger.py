import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portfolios", "0003_audit_triggers"),
    ]

    operations = [
        migrations.AddField(
            model_name="corporateaction",
            name="cost_allocation",
            field=models.DecimalField(
                blank=True,
                decimal_places=12,
                help_text="Share of the old cost that goes to the new shares, 0 to 1; blank: by market values",
                max_digits=18,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="portfolio",
            name="large_flow_percentage",
            field=models.DecimalField(
                decimal_places=6,
                default=10,
                help_text="A flow above this share of the value asks for a valuation on its day",
                max_digits=9,
                validators=[django.core.validators.MinValueValidator(0)],
            ),
        ),
        migrations.AddField(
            model_name="portfolio",
            name="valuation_frequency",
            field=models.CharField(
                choices=[("daily", "Daily"), ("monthly", "Monthly"), ("quarterly", "Quarterly")],
                default="daily",
                help_text="Returns between valuations are Modified Dietz",
                max_length=9,
            ),
        ),
        migrations.AddField(
            model_name="transaction",
            name="reverses",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reversed_by",
                to="portfolios.transaction",
            ),
        ),
        migrations.AlterField(
            model_name="corporateaction",
            name="amount",
            field=models.DecimalField(
                blank=True,
                decimal_places=10,
                help_text="Per old share, in the asset's currency; for a spin-off the value of one new share",
                max_digits=24,
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="corporateaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cost_allocation__isnull", True),
                    models.Q(("cost_allocation__gte", 0), ("cost_allocation__lte", 1)),
                    _connector="OR",
                ),
                name="corporate_actions_cost_allocation_is_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.CheckConstraint(
                condition=models.Q(("reverses__isnull", True), ("status", "settled"), _connector="OR"),
                name="transactions_reversal_is_settled",
            ),
        ),
    ]
