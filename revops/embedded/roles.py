"""What the application's role may do in the tables: the fence around facts (design.md, section 6).

The owner makes tables, the application uses them. The application gets what is granted here and nothing
else, never TRUNCATE. Access to a partition goes through its parent, so partitions get no grant of their own.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from psycopg import sql

SCHEMA = "public"


class UnableToGrant(Exception):
    """The role or a table is missing, or a grant names a column that the table does not have."""


@dataclass(frozen=True)
class TableGrant:
    """What one table allows; `update` is all columns, none, or the named ones."""

    select: bool = True
    insert: bool = True
    update: bool | tuple[str, ...] = True
    delete: bool = True

    @classmethod
    def fact(cls, *changing: str) -> "TableGrant":
        """Append-only: rows are added and read; only the named columns may change later."""
        return cls(update=changing or False, delete=False)

    def limited_to(self, columns: Container[str]) -> "TableGrant":
        """The same without the columns that the table does not have."""
        if not isinstance(self.update, tuple):
            return self
        return replace(self, update=tuple(name for name in self.update if name in columns))


class Cursor(Protocol):
    """A cursor of psycopg or of Django."""

    def execute(self, query: Any, params: Any = ...) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> Any: ...


def grant_tables(cursor: Cursor, role: str, tables: Mapping[str, TableGrant]) -> None:
    """Give `role` exactly these rights in the schema `public`: whatever else it held there is revoked.

    Run as the owner, in one transaction, after migrations. Repeatable. Nothing is done for a role that is the
    owner itself (a set-up with one role). Raises UnableToGrant.
    """
    if not is_another(cursor, role):
        return
    ours, partitions = tables_owned(cursor)
    missing = sorted(set(tables) - ours)
    if missing:
        raise UnableToGrant(f"There is no table {', '.join(missing)} that {current_role(cursor)} owns.")
    run(cursor, "GRANT USAGE ON SCHEMA {} TO {}", SCHEMA, role)
    for table in sorted(ours | partitions):
        # Takes column rights along.
        run(cursor, "REVOKE ALL ON TABLE {}.{} FROM PUBLIC, {}", SCHEMA, table, role)
    for table, grant in sorted(tables.items()):
        grant_table(cursor, role, table, grant)
    for sequence in sequences_owned(cursor):
        run(cursor, "REVOKE ALL ON SEQUENCE {}.{} FROM PUBLIC, {}", SCHEMA, sequence, role)
        run(cursor, "GRANT USAGE ON SEQUENCE {}.{} TO {}", SCHEMA, sequence, role)


def grant_table(cursor: Cursor, role: str, table: str, grant: TableGrant) -> None:
    rights = [
        right
        for right, given in (
            ("SELECT", grant.select),
            ("INSERT", grant.insert),
            ("UPDATE", grant.update is True),
            ("DELETE", grant.delete),
        )
        if given
    ]
    if rights:
        run(cursor, f"GRANT {', '.join(rights)} ON TABLE {{}}.{{}} TO {{}}", SCHEMA, table, role)
    if isinstance(grant.update, tuple) and grant.update:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [quoted(SCHEMA, table)],
        )
        unknown = sorted(set(grant.update) - {name for (name,) in cursor.fetchall()})
        if unknown:
            raise UnableToGrant(f"The table {table} has no column {', '.join(unknown)}.")
        columns = ", ".join("{}" for _ in grant.update)
        run(cursor, f"GRANT UPDATE ({columns}) ON TABLE {{}}.{{}} TO {{}}", *grant.update, SCHEMA, table, role)


def grant_functions(cursor: Cursor, role: str) -> None:
    """Let `role`, and no longer everybody, call the owner's SECURITY DEFINER functions of `public`.

    They are the doors the application has where it holds no rights itself. Triggers need no such right.
    """
    if not is_another(cursor, role):
        return
    cursor.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = %s::regnamespace AND prosecdef "
        "AND proowner = current_user::regrole AND prorettype <> 'trigger'::regtype ORDER BY oid",
        [SCHEMA],
    )
    for (signature,) in cursor.fetchall():
        # A regprocedure comes out of the database quoted.
        cursor.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        run(cursor, f"GRANT EXECUTE ON FUNCTION {signature} TO {{}}", role)


def grant_database(cursor: Cursor, role: str, exclusively: bool) -> None:
    """Let `role` (`exclusively`: and nobody else) connect to the current database, with temporary tables."""
    if not is_another(cursor, role):
        return
    cursor.execute(
        "SELECT current_database() FROM pg_database WHERE datname = current_database() "
        "AND pg_has_role(current_user, datdba, 'USAGE')"
    )
    found = cursor.fetchone()
    if found is None:
        return  # Whoever made the database decides who connects to it.
    if exclusively:
        run(cursor, "REVOKE ALL ON DATABASE {} FROM PUBLIC", found[0])
    run(cursor, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", found[0], role)


def is_another(cursor: Cursor, role: str) -> bool:
    if current_role(cursor) == role:
        return False
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    if cursor.fetchone() is None:
        raise UnableToGrant(f"There is no role {role} on the server; create it, with LOGIN and nothing more.")
    return True


def current_role(cursor: Cursor) -> str:
    cursor.execute("SELECT current_user")
    return str(cursor.fetchone()[0])


def tables_owned(cursor: Cursor) -> tuple[set[str], set[str]]:
    """Tables (and views) of the schema that the current role owns, and apart from them the partitions."""
    cursor.execute(
        "SELECT relname, relispartition FROM pg_class WHERE relnamespace = %s::regnamespace "
        "AND relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_has_role(current_user, relowner, 'USAGE')",
        [SCHEMA],
    )
    found = cursor.fetchall()
    return {name for name, part in found if not part}, {name for name, part in found if part}


def sequences_owned(cursor: Cursor) -> list[str]:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'S' "
        "AND pg_has_role(current_user, relowner, 'USAGE') ORDER BY relname",
        [SCHEMA],
    )
    return [name for (name,) in cursor.fetchall()]


def run(cursor: Cursor, statement: str, *names: str) -> None:
    """Run a statement with names put in as identifiers."""
    cursor.execute(statement.format(*map(quoted, names)))


def quoted(*names: str) -> str:
    return sql.Identifier(*names).as_string()
