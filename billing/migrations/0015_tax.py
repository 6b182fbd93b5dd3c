from pathlib import Path

import billing.models.invoices
from django.db import migrations, models

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0014_prepaid_grants")]

    operations = [
        migrations.AddField(
            model_name="invoiceline",
            name="tax_behavior",
            field=models.CharField(
                default="exclusive",
                help_text="Whether its price was with tax; the amount never is.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="tax_category",
            field=models.CharField(blank=True, default="", max_length=80),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="taxes",
            field=models.JSONField(default=list, help_text="[{code, percent, base, amount}], decimal strings."),
        ),
        migrations.AddField(
            model_name="periodclose",
            name="tax",
            field=models.JSONField(
                default=dict, help_text="What it was closed with: rates by category, exemption, rounding."
            ),
        ),
        run_sql_file(SQL / "tax.sql"),
        migrations.RemoveField(model_name="invoiceline", name="tax_code"),
        migrations.RemoveField(model_name="periodclose", name="tax_code"),
        migrations.RemoveField(model_name="periodclose", name="tax_percent"),
        migrations.AlterField(
            model_name="invoiceline",
            name="tax_amount",
            field=billing.models.invoices.MoneyField(
                decimal_places=4, default=0, help_text="The sum of its taxes.", max_digits=24
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="tax_percent",
            field=models.DecimalField(decimal_places=4, default=0, help_text="The sum of its rates.", max_digits=9),
        ),
    ]
