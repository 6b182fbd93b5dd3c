"""Which tables the application's role may change, read from the models.

A model's table may be read and changed; a fact's (`catalog.auditing.Fact`) only in what it calls changeable. Tables
without a model are closed: the application reaches them through functions with the owner's rights.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connections, models, router, transaction
from django.db.migrations.recorder import MigrationRecorder

from revops.databases import ConnectionPlan, read_url
from revops.embedded.roles import Cursor, TableGrant, grant_database, grant_functions, grant_tables


def table_grants(alias: str) -> dict[str, TableGrant]:
    """What the application may do in each table of a database, by table name."""
    grants = {
        model._meta.db_table: grant_of(model)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and router.allow_migrate_model(alias, model)
    }
    grants[MigrationRecorder.Migration._meta.db_table] = TableGrant(insert=False, update=False, delete=False)
    return grants


def grant_of(model: type[models.Model]) -> TableGrant:
    # Facts are told by their attribute: their class cannot be imported before the apps are loaded.
    changeable: tuple[str, ...] | None = getattr(model, "changeable", None)
    if changeable is None:
        return TableGrant()
    columns = tuple(str(model._meta.get_field(name).column) for name in changeable)  # type: ignore[union-attr]
    return TableGrant(update=columns or False, delete=bool(getattr(model, "deletable", False)))


def apply_grants(alias: str) -> None:
    """Grant as above in one transaction, as the role the connection has: the owner's.

    What is not migrated yet, or no longer, is passed over. Raises UnableToGrant.
    """
    plan: ConnectionPlan = settings.PLAN
    role = str(read_url(plan.application[alias])["USER"])
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        grant_database(cursor, role, exclusively=plan.embedded)
        grant_tables(cursor, role, present(cursor, table_grants(alias)))
        grant_functions(cursor, role)


def present(cursor: Cursor, grants: dict[str, TableGrant]) -> dict[str, TableGrant]:
    """The part of the grants that concerns tables and columns the database has now."""
    cursor.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'")
    columns: dict[str, set[str]] = {}
    for table, column in cursor.fetchall():
        columns.setdefault(table, set()).add(column)
    return {table: grant.limited_to(columns[table]) for table, grant in grants.items() if table in columns}


def grant_after_migrate(sender: AppConfig, using: str, **facts: Any) -> None:
    """Receiver of `post_migrate`: whoever migrates, by whatever command, leaves the grants right.

    `flush`, after each test with transactions, sends the signal too, without a plan; it makes no table.
    """
    if "plan" in facts:
        apply_grants(using)
