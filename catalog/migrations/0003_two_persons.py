from pathlib import Path

from django.db import migrations, models
from django.db.models import F, Q

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


def column(model: str, name: str, help_text: str) -> migrations.AddField:
    field = models.CharField(blank=True, editable=False, help_text=help_text, max_length=80)
    return migrations.AddField(model_name=model, name=name, field=field)


class Migration(migrations.Migration):
    dependencies = [("catalog", "0002_frozen_versions")]

    operations = [
        column("planversion", "submitted_by", "user:ID, key:ID or operator."),
        column("planversion", "approved_by", "Another than submitted it."),
        column("historicalplanversion", "submitted_by", "user:ID, key:ID or operator."),
        column("historicalplanversion", "approved_by", "Another than submitted it."),
        migrations.AddConstraint(
            model_name="planversion",
            constraint=models.CheckConstraint(
                condition=Q(approved_by__in=["", "operator"]) | ~Q(approved_by=F("submitted_by")),
                name="plan_version_two_persons",
            ),
        ),
        run_sql_file(SQL / "two_persons.sql"),
    ]
