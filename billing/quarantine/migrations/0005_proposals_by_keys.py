from django.db import migrations, models


class Migration(migrations.Migration):
    """The name of a key may take up more room than that of a person."""

    dependencies = [("quarantine", "0004_review_guards")]

    operations = [
        migrations.AlterField("proposal", "proposed_by_name", models.CharField(blank=True, max_length=250)),
        migrations.AlterField("proposal", "decided_by_name", models.CharField(blank=True, max_length=250)),
    ]
