from pathlib import Path

from django.db import migrations

from catalog.sql import run_sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_run_times"), ("contracts", "0001_initial")]

    operations = [run_sql_file(SQL / "directory.sql")]
