"""Who may do what: the roles of the office, as groups with exactly the permissions their work needs.

Two persons stand behind what costs money: who proposes, submits or drafts is in RevOps, Sales or Engineering; who
approves, publishes, issues and voids is in Finance. The Auditor reads everything and changes nothing. A role may be
changed on the console afterwards; a migration that calls `found_roles` again only adds to it. For API keys: `SCOPES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.migrations.recorder import MigrationRecorder

if TYPE_CHECKING:
    # The application's configuration reads this module before there are models.
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Permission

REVOPS, FINANCE, SALES, ENGINEERING, AUDITOR = "RevOps", "Finance", "Sales", "Engineering", "Auditor"

OFFICE = ("catalog", "contracts", "billing", "quarantine", "revops")
SEEN_BY_ALL = tuple(f"{app}.view_*" for app in OFFICE)
BACKGROUND = ("django_q.view_*",)


def edits(app: str, *models: str, verbs: Iterable[str] = ("add", "change", "delete")) -> tuple[str, ...]:
    return tuple(f"{app}.{verb}_{model}" for model in models for verb in verbs)


# Role -> patterns of its permissions, as app_label.codename.
ROLES: dict[str, tuple[str, ...]] = {
    REVOPS: (
        *SEEN_BY_ALL, *BACKGROUND,
        *edits("catalog", "entitlement", "feature", "meter", "plan", "planversion", "price", "pricetier"),
        *edits("contracts", "*"),
        *edits("billing", "source", "sourcerule"),
        "billing.replay_delivery",
        "catalog.submit_planversion", "catalog.retire_planversion",
        "contracts.submit_contract", "contracts.amend_contract", "contracts.end_contract",
        "contracts.migrate_contract",
        "contracts.renew_contract",
        "billing.correct_event", "quarantine.propose_resolution", "quarantine.release_resolution",
    ),
    FINANCE: (
        *SEEN_BY_ALL, *BACKGROUND,
        *edits("catalog", "seller", "taxrate"),
        "catalog.publish_planversion", "contracts.approve_contract", "quarantine.approve_resolution",
        "quarantine.release_resolution", "billing.issue_invoice", "billing.void_invoice", "billing.delete_invoice",
        "billing.run_billing", "django_q.change_failure",
    ),
    SALES: (
        "catalog.view_*", "contracts.view_*", "billing.view_invoice", "billing.view_invoiceline",
        *edits("contracts", "customer", "customeralias", "contact", "contract", "contractline", "discount",
               "onetimeterm", "priceoverride", "commitment", "creditgrant"),
        "contracts.submit_contract",
    ),
    ENGINEERING: (
        *SEEN_BY_ALL, *BACKGROUND,
        *edits("billing", "source", "sourcerule"),
        *edits("revops", "apikey", verbs=("add", "change")),
        *edits("billing", "webhookendpoint", verbs=("add", "change")),
        "billing.rotate_webhookendpoint", "billing.replay_delivery",
        "billing.correct_event", "quarantine.propose_resolution", "django_q.change_failure",
    ),
    AUDITOR: (*SEEN_BY_ALL, *BACKGROUND, "auth.view_user", "auth.view_group"),
}  # fmt: skip

# Scope of API keys -> the permissions it stands for. Who makes a key hands out no right that they lack themselves: a
# scope that writes takes those of every deed the API has there, so that what takes two persons here takes two there.
SCOPES: dict[str, tuple[str, ...]] = {
    "events:write": ("billing.correct_event",),
    "usage:read": ("billing.view_event",),
    "catalog:read": ("catalog.view_planversion",),
    "catalog:write": (
        "catalog.change_plan", "catalog.change_planversion", "catalog.submit_planversion",
        "catalog.publish_planversion", "catalog.retire_planversion",
    ),
    "contracts:read": ("contracts.view_contract",),
    "contracts:write": (
        "contracts.change_customer", "contracts.change_contract", "contracts.submit_contract",
        "contracts.approve_contract", "contracts.amend_contract", "contracts.end_contract",
        "contracts.migrate_contract",
        "contracts.renew_contract",
    ),
    "billing:read": ("billing.view_invoice",),
    "billing:write": ("billing.issue_invoice", "billing.void_invoice"),
    "quarantine:read": ("quarantine.view_heldrecord",),
    "quarantine:write": ("quarantine.propose_resolution", "quarantine.approve_resolution"),
}  # fmt: skip


def may_hand_out(user: AbstractBaseUser | AnonymousUser, scopes: Iterable[str]) -> bool:
    """Whether the user may give these scopes to an API key."""
    return all(user.has_perms(SCOPES[scope]) for scope in scopes)  # type: ignore[union-attr]


def permissions_of(role: str) -> list[Permission]:
    """The permissions that exist and that a role has. The history of a row is read by whoever may see the row."""
    found = (
        apps.get_model("auth", "Permission")
        .objects.select_related("content_type")
        .order_by("content_type__app_label", "codename")
    )
    return [one for one in found if any(fnmatchcase(_name(one), pattern) for pattern in ROLES[role])]


def found_roles() -> None:
    """Make the groups, and give each what it lacks. Called by migrations, before permissions are made as usual."""
    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0)
    for role in ROLES:
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
        group.permissions.add(*permissions_of(role))


def found_after_migrate(sender: AppConfig, using: str, **facts: Any) -> None:
    """Receiver of `post_migrate`: where no role is left (a `flush` empties the tables), they are founded again."""
    if using != DEFAULT_DB_ALIAS or ("revops", "0003_roles") not in MigrationRecorder(connection).applied_migrations():
        return
    if not apps.get_model("auth", "Group").objects.filter(name__in=ROLES).exists():
        found_roles()


def _name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"
