from pathlib import Path

from django.db import migrations, models

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_line_extent")]

    operations = [
        migrations.AddField(
            model_name="invoice",
            name="issued_by",
            field=models.CharField(blank=True, help_text="A user, an API key, or a bill run.", max_length=250),
        ),
        migrations.AddField(
            model_name="invoice",
            name="voided_by",
            field=models.CharField(blank=True, help_text="A user or an API key.", max_length=250),
        ),
        migrations.AddField(
            model_name="billrun",
            name="by",
            field=models.CharField(
                blank=True, help_text="Who started it; empty: the schedule or a command.", max_length=250
            ),
        ),
        run_sql_file(SQL / "invoice_signatures.sql"),
    ]
