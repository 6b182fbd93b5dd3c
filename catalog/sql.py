"""SQL kept as SQL: a migration runs a file, and its part after the line `-- reverse:` when it is taken back."""

from pathlib import Path

from django.db.migrations import RunSQL

REVERSE = "\n-- reverse:\n"


def run_sql_file(path: Path) -> RunSQL:
    """The migration operation of a file. A file without a reverse section raises ValueError."""
    forwards, line, backwards = path.read_text(encoding="utf-8").partition(REVERSE)
    if not line:
        raise ValueError(f"{path} has no line `-- reverse:`; write how it is taken back")
    return RunSQL(forwards, backwards)
