"""Which tables the application's role may change, collected from the installed apps.

Every model's table may be read and changed. An app names its append-only tables in its AppConfig, with the
columns that may change nevertheless, and the database functions the application may call:

    facts = {"billing_event": (), "billing_invoice": ("status", "voided_at")}
    functions = ("billing_make_event_partition",)
"""

from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connections, router, transaction
from django.db.migrations.recorder import MigrationRecorder

from revops.databases import ConnectionPlan, alias_of, read_url
from revops.embedded.roles import TableGrant, grant_database, grant_functions, grant_tables


def table_grants(alias: str) -> dict[str, TableGrant]:
    """What the application may do in each table of a database, by table name."""
    grants = {
        model._meta.db_table: TableGrant()
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed and router.allow_migrate_model(alias, model)
    }
    grants[MigrationRecorder.Migration._meta.db_table] = TableGrant(insert=False, update=False, delete=False)
    for app in apps_of(alias):
        facts: Mapping[str, tuple[str, ...]] = getattr(app, "facts", {})
        grants.update({table: TableGrant.fact(*columns) for table, columns in facts.items()})
    return grants


def apply_grants(alias: str, partly_migrated: bool = False) -> None:
    """Grant as above in one transaction, as the role the connection has: the owner's.

    `partly_migrated`: tables and functions that are not there yet, or no longer, are passed over.
    Raises UnableToGrant.
    """
    plan: ConnectionPlan = settings.PLAN
    role = str(read_url(plan.application[alias])["USER"])
    tables = table_grants(alias)
    functions = [name for app in apps_of(alias) for name in getattr(app, "functions", ())]
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        if partly_migrated:
            present = set(connections[alias].introspection.table_names(cursor))
            tables = {table: grant for table, grant in tables.items() if table in present}
            cursor.execute("SELECT proname FROM pg_proc WHERE proname = ANY(%s)", [functions])
            functions = [name for (name,) in cursor.fetchall()]
        grant_database(cursor, role, exclusively=plan.embedded)
        grant_tables(cursor, role, tables)
        grant_functions(cursor, role, functions)


def apps_of(alias: str) -> list[AppConfig]:
    return [app for app in apps.get_app_configs() if alias_of(app.label) == alias]


def grant_after_migrate(sender: AppConfig, using: str, **facts: Any) -> None:
    """Receiver of `post_migrate`: whoever migrates, by whatever command, leaves the grants right.

    `flush`, after each test with transactions, sends the signal too, without a plan; it makes no table.
    """
    if "plan" in facts:
        apply_grants(using, partly_migrated=True)
