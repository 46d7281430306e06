"""Dates that only grow get a BRIN index on PostgreSQL; SQLite has none and needs none."""

from django.db import migrations

INDEXES = {
    "portfolio_performance_history": "snapshot_date",
    "asset_performance_metrics": "calculation_date",
    "portfolio_risk_metrics": "calculation_date",
    "asset_correlations": "calculation_date",
}


def forward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table, column in INDEXES.items():
            schema_editor.execute(f"CREATE INDEX {table}_brin ON {table} USING brin ({column})")


def backward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in INDEXES:
            schema_editor.execute(f"DROP INDEX {table}_brin")


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_initial")]
    operations = [migrations.RunPython(forward, backward)]
