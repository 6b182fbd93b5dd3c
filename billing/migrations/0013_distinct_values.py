from pathlib import Path

from django.db import migrations, models

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_terms_of_every_kind"), ("catalog", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="DistinctValue",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "customer_id",
                        "meter_id",
                        "starts_at",
                        "group",
                        "digest",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("customer_id", models.BigIntegerField()),
                ("meter_id", models.BigIntegerField()),
                ("starts_at", models.DateTimeField()),
                ("group", models.TextField(help_text="As in the bucket.")),
                (
                    "digest",
                    models.UUIDField(help_text="The first 16 bytes of the SHA-256 of the value as a text."),
                ),
                ("clock", models.BigIntegerField()),
            ],
            options={"abstract": False},
        ),
        run_sql_file(SQL / "distinct_values.sql"),
    ]
