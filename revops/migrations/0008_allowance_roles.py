"""RevOps agrees on entitlements and sends notices again; Engineering connects who is told."""

from django.db import migrations

from revops.roles import found_roles


def forwards(apps, schema_editor):
    if schema_editor.connection.alias == "default":
        found_roles()


class Migration(migrations.Migration):
    dependencies = [
        ("revops", "0007_roles_of_terms"),
        ("catalog", "0007_entitlements"),
        ("contracts", "0007_allowance_terms"),
        ("billing", "0017_notice_deliveries"),
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop, elidable=False)]
