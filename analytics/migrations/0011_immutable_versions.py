"""The database itself refuses to change or remove a version of a proposal or a voice about it."""

from django.db import migrations

# Each table with the keys by which INSERT OR REPLACE would find a row to remove.
TABLES = {
    "proposal_versions": "id = NEW.id OR (event_id = NEW.event_id AND version = NEW.version)",
    "approvals": (
        "id = NEW.id OR "
        "(event_id = NEW.event_id AND proposal_hash = NEW.proposal_hash AND user_id = NEW.user_id)"
    ),
}
POSTGRES_FUNCTION = """
CREATE FUNCTION immutable_row_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP;
END $$
"""
POSTGRES = """
CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION immutable_row_refuse();
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION immutable_row_refuse();
"""
SQLITE = {
    "no_update": (
        "BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only: UPDATE refused'); END"
    ),
    "no_delete": (
        "BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append-only: DELETE refused'); END"
    ),
    # INSERT OR REPLACE fires no delete trigger unless recursive_triggers is on. "UNIQUE" because an ordinary
    # second row is refused here before its constraint can, and callers know it by that word.
    "no_replace": (
        "BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
        "BEGIN SELECT RAISE(ABORT, '{table} is append-only: UNIQUE constraint, this row exists already'); END"
    ),
}


def forward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES_FUNCTION, params=None)
        for table in TABLES:
            schema_editor.execute(POSTGRES.format(table=table), params=None)
        return
    for table, same in TABLES.items():
        for name, body in SQLITE.items():
            schema_editor.execute(f"CREATE TRIGGER {table}_{name} {body.format(table=table, same=same)}")


def backward(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            for name in ("no_change", "no_truncate"):
                schema_editor.execute(f"DROP TRIGGER {table}_{name} ON {table}")
        schema_editor.execute("DROP FUNCTION immutable_row_refuse()")
        return
    for table in TABLES:
        for name in SQLITE:
            schema_editor.execute(f"DROP TRIGGER {table}_{name}")


class Migration(migrations.Migration):
    dependencies = [("analytics", "0010_decisions")]
    operations = [migrations.RunPython(forward, backward)]
