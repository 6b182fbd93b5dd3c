from pathlib import Path

from django.db import migrations

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("quarantine", "0003_review")]

    operations = [run_sql_file(SQL / "review.sql")]
