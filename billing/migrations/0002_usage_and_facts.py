from pathlib import Path

from django.db import migrations

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("catalog", "0002_frozen_versions")]

    operations = [run_sql_file(SQL / "usage.sql"), run_sql_file(SQL / "facts.sql")]
