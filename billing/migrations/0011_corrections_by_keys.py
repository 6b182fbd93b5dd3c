from django.db import migrations, models


class Migration(migrations.Migration):
    """The name of a key may take up more room than that of a person."""

    dependencies = [("billing", "0010_line_selection")]

    operations = [
        migrations.AlterField("correction", "made_by", models.CharField(blank=True, max_length=250)),
    ]
