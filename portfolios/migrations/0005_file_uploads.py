from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("portfolios", "0004_ledger")]
    operations = []
