"""Who renews contracts, and who drafts the newer kinds of terms."""

from django.db import migrations

from revops.roles import found_roles


def forwards(apps, schema_editor):
    if schema_editor.connection.alias == "default":
        found_roles()


class Migration(migrations.Migration):
    dependencies = [("revops", "0006_migrate_role"), ("contracts", "0006_renewals")]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop, elidable=False)]
