from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("portfolios", "0003_audit_triggers")]
    operations = []
