from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0004_blends"),
    ]

    operations = [
        migrations.AddField(
            model_name="portfolioperformancehistory",
            name="data_quality",
            field=models.CharField(
                blank=True,
                choices=[
                    ("complete", "Complete"),
                    ("carried", "Carried price or rate"),
                    ("at_cost", "At cost"),
                    ("missing_fx", "Missing exchange rate"),
                    ("blocked", "Blocked"),
                ],
                default="",
                db_default="",
                help_text="The worst that applies",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="portfolioperformancehistory",
            name="realized_fx_pnl",
            field=models.DecimalField(
                decimal_places=6,
                help_text="The part of the realised gain that rates made",
                max_digits=24,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="portfolioperformancehistory",
            name="trading_costs",
            field=models.DecimalField(
                decimal_places=6, help_text="The part of the fees that trades cost", max_digits=24, null=True
            ),
        ),
        migrations.AddField(
            model_name="portfolioperformancehistory",
            name="transferred_pnl",
            field=models.DecimalField(
                decimal_places=6,
                help_text="Unrealised gain that came or left with a transfer",
                max_digits=24,
                null=True,
            ),
        ),
    ]
