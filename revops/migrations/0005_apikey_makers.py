import django.contrib.postgres.fields
from django.db import migrations, models


def name_makers(apps, schema_editor):
    """Who made a key on the console is known by name; at the command line nobody was signed in."""
    if schema_editor.connection.alias != "default":
        return
    users = dict(apps.get_model("auth", "User").objects.values_list("username", "pk"))
    for key in apps.get_model("revops", "ApiKey").objects.exclude(created_by=""):
        if key.created_by in users:
            key.makers = [f"user:{users[key.created_by]}"]
            key.save(update_fields=["makers"])


def column(model):
    field = django.contrib.postgres.fields.ArrayField(
        base_field=models.CharField(max_length=80), blank=True, default=list, editable=False, size=None
    )
    return migrations.AddField(model_name=model, name="makers", field=field)


class Migration(migrations.Migration):
    dependencies = [
        ("revops", "0004_apikey_limits"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        column("apikey"),
        column("historicalapikey"),
        migrations.RunPython(name_makers, migrations.RunPython.noop, elidable=True),
    ]
