"""SQLite: an audit row cannot be replaced by its hidden row number either.

INSERT OR REPLACE removes whatever row has the same key, and fires no delete trigger unless recursive_triggers
is on. The primary key of this table is not the row number, so that is one more key to look at.
"""

from django.db import migrations

DROP = "DROP TRIGGER audit_events_no_replace"
CREATE = """
CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE {same})
BEGIN SELECT RAISE(ABORT, 'audit_events is append-only: this link exists already'); END
"""
BY_KEYS = "sequence = NEW.sequence OR previous_hash = NEW.previous_hash"


def replace_trigger(schema_editor, same):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(DROP)
        schema_editor.execute(CREATE.format(same=same))


def forward(apps, schema_editor):
    replace_trigger(schema_editor, f"{BY_KEYS} OR rowid = NEW.rowid")


def backward(apps, schema_editor):
    replace_trigger(schema_editor, BY_KEYS)


class Migration(migrations.Migration):
    dependencies = [("portfolios", "0007_households")]
    operations = [migrations.RunPython(forward, backward)]
