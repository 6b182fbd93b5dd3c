"""RevOps agrees on entitlements and sends notices again; Engineering connects who is told."""

from django.db import migrations

from revops.roles import found_roles


def forwards(apps, schema_editor):
    if schema_editor.connection.alias == "default":
        found_roles()


class Migration(migrations.Migration):
    dependencies = [
        ("revops", "0006_migrate_role"),
        ("catalog", "0040_entitlements"),
        ("contracts", "0040_allowance_terms"),
        ("billing", "0081_notice_deliveries"),
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop, elidable=False)]
