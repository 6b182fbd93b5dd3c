"""The roles of the office."""

from django.db import migrations

from revops.roles import found_roles


def forwards(apps, schema_editor):
    if schema_editor.connection.alias == "default":
        found_roles()


class Migration(migrations.Migration):
    dependencies = [
        ("revops", "0002_deed"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop, elidable=False)]
