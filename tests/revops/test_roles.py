"""Each role and each deed: who may do it opens its confirm page, everybody else does not, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from catalog.deeds import Deed, DeedsMixin
from revops.roles import AUDITOR, ENGINEERING, FINANCE, REVOPS, ROLES, SALES, permissions_of
from tests.revops.test_admin_changelists import world

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

# Deed -> who may. Finance decides what costs money or lets use in; the other person is in another role.
DOERS = {
    "submit_version": {REVOPS},
    "approve_version": {FINANCE},
    "retire_version": {REVOPS},
    "copy_version": {REVOPS},
    "submit_contract": {REVOPS, SALES},
    "approve_contract": {FINANCE},
    "move_to_version": {REVOPS},
    "add_one_time": {REVOPS},
    "grant_credit": {REVOPS},
    "change_allowance": {REVOPS},
    "end_contract": {REVOPS},
    "renew_contract": {REVOPS},
    "replay_delivery": {REVOPS, ENGINEERING},
    "rotate_webhookendpoint": {ENGINEERING},
    "issue_invoice": {FINANCE},
    "void_invoice": {FINANCE},
    "discard_draft": {FINANCE},
    "approve_proposal": {FINANCE},
    "reject_proposal": {FINANCE},
    "withdraw_proposal": {REVOPS, ENGINEERING},
    "continue_release": {REVOPS, FINANCE},
    "revoke_key": {ENGINEERING},
}

# What a role sees in the console besides Today: a list it may open and one it may not.
LISTS = {
    "catalog/plan": set(ROLES),
    "contracts/contract": set(ROLES),
    "billing/invoice": set(ROLES),
    "billing/source": {REVOPS, FINANCE, ENGINEERING, AUDITOR},
    "quarantine/heldrecord": {REVOPS, FINANCE, ENGINEERING, AUDITOR},
    "revops/apikey": {REVOPS, FINANCE, ENGINEERING, AUDITOR},
    "auth/user": {AUDITOR},
}

# Who may enter new rows by hand.
ENTERS = {
    "catalog/plan": {REVOPS},
    "catalog/seller": {FINANCE},
    "catalog/taxrate": {FINANCE},
    "contracts/customer": {REVOPS, SALES},
    "contracts/contract": {REVOPS, SALES},
    "billing/source": {REVOPS, ENGINEERING},
    "revops/apikey": {ENGINEERING},
    "auth/user": set(),
}


def desks() -> Iterator[tuple[type, Deed]]:
    for model, desk in admin.site._registry.items():
        for deed in desk.deeds if isinstance(desk, DeedsMixin) else ():
            yield model, deed


def signed_in(role: str) -> Client:
    user = User.objects.create_user(f"one-of-{role.lower()}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def test_every_deed_has_its_doers() -> None:
    assert {deed.name for _, deed in desks()} - {
        "run_again"
    } == DOERS.keys()  # Django-Q's rows have a test of their own


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_the_confirm_page_of_its_own_deeds_alone(role: str) -> None:
    world(range(1, 2))
    client = signed_in(role)
    tried = set()
    for model, deed in desks():
        if deed.name not in DOERS:
            continue
        row = model._default_manager.first()
        assert row is not None, f"no {model.__name__} to try {deed.name} on"
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = client.post(address, {"action": deed.name, ACTION_CHECKBOX_NAME: [row.pk]})
        opened = deed.template in [template.name for template in answer.templates]
        assert opened == (role in DOERS[deed.name]), f"{role}: {deed.name} answered {answer.status_code}"
        tried.add(deed.name)
    assert tried == DOERS.keys()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_its_lists_and_enters_what_is_its_own(role: str) -> None:
    client = signed_in(role)
    for path, roles in LISTS.items():
        assert client.get(f"/admin/{path}/").status_code == (200 if role in roles else 403), path
    for path, roles in ENTERS.items():
        assert client.get(f"/admin/{path}/add/").status_code == (200 if role in roles else 403), path


def test_the_auditor_changes_nothing() -> None:
    reading = {one.codename.partition("_")[0] for one in Group.objects.get(name=AUDITOR).permissions.all()}
    assert reading == {"view"}


def test_the_two_persons_of_a_decision_are_in_different_roles() -> None:
    pairs = [
        ("submit_planversion", "publish_planversion"),
        ("submit_contract", "approve_contract"),
        ("propose_resolution", "approve_resolution"),
    ]
    for first, second in pairs:
        for role in ROLES:
            held = {one.codename for one in Group.objects.get(name=role).permissions.all()}
            assert not {first, second} <= held, role


@pytest.mark.parametrize("role", ROLES)
def test_the_migration_gave_a_role_exactly_its_permissions(role: str) -> None:
    given = Group.objects.get(name=role).permissions.all()
    assert {one.pk for one in given} == {one.pk for one in permissions_of(role)}
    for pattern in ROLES[role]:
        app, _, codename = pattern.partition(".")
        if "*" not in pattern:
            assert Permission.objects.filter(content_type__app_label=app, codename=codename).exists(), pattern
