from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("analytics", "0006_risk_models")]

    operations = [
        migrations.AddField(
            model_name="assetperformancemetrics",
            name="average_move_14",
            field=models.FloatField(blank=True, editable=False, null=True),
        ),
    ]
