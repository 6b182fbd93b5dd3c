"""Many customers and contracts in one file: few queries, and the same checks and histories as one by one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from contracts import lifecycle
from contracts.drafts import LineDraft, terms_draft
from contracts.models import Contact, Contract, ContractLine, ContractStatus, Customer, CustomerAlias
from revops.vocabulary import contract_loading
from revops.vocabulary.contract_loading import load_contracts
from revops.vocabulary.decoding import decode
from revops.vocabulary.documents import read_text
from revops.vocabulary.loading import Load, UnableToLoad
from revops.vocabulary.words import ContractsWords
from tests.revops.vocabulary.test_loading import AT, CONTRACTS, catalog, contracts, faults

pytestmark = pytest.mark.django_db(databases="__all__")

SIGNED = ("history_type", "history_date", "history_user_id", "history_change_reason")


def many(count: int, name: str = "c") -> str:
    """A file of so many customers, each with a subject, a contact and a contract."""
    names = [f"{name}{number}" for number in range(count)]
    customers = [f"  - {{key: {one}, subjects: [{one}-eu], contacts: [{{email: {one}@c.example}}]}}" for one in names]
    signed = [f"  - {{number: {one}, customer: {one}, starts_on: 2026-01-15, lines: [{{plan: pro}}]}}" for one in names]
    return "\n".join(["customers:", *customers, "contracts:", *signed])


def queries(text: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        contracts(text)
    return len(captured)


def history(row: Any) -> list[tuple[Any, ...]]:
    return list(row.history.order_by("history_id").values_list(*SIGNED))


def test_more_contracts_take_no_more_queries() -> None:
    catalog()
    assert queries(many(40, "many")) == queries(many(2, "few"))
    assert queries(many(40, "many")) == queries(many(2, "few"))  # there already, and nothing changes


def test_a_file_leaves_the_histories_that_the_operations_leave() -> None:
    catalog()
    contracts()
    loaded = Contract.objects.get()
    alone = Contract(
        number="C-2",
        customer=Customer.objects.create(key="zeta", name="Zeta"),
        seller=loaded.seller,
        currency="EUR",
        starts_on=loaded.starts_on,
    )
    line = loaded.lines.get()
    lifecycle.draft(alone, terms_draft([LineDraft(line.plan_version, line.starts_on)]), at=AT)
    lifecycle.approve(alone, at=AT)
    assert history(loaded) == history(alone)
    assert [row[0] for row in history(loaded)] == ["+", "~"]
    assert list(loaded.history.order_by("history_id").values_list("status", flat=True)) == ["draft", "approved"]
    assert history(line) == history(alone.lines.get())
    for row in (Customer.objects.get(key="acme"), CustomerAlias.objects.get(), Contact.objects.get()):
        assert history(row) == [("+", AT, None, "Loaded from contracts.yaml")]


def test_contracts_of_one_file_do_not_bill_the_same_use() -> None:
    catalog()
    second = "  - {number: C-2, customer: acme, starts_on: 2026-02-01, lines: [{plan: pro}]}\n"
    with pytest.raises(UnableToLoad, match="the meter tokens is billed by contract C-1 on the same days") as error:
        contracts(CONTRACTS + second)
    assert faults(error) == [("contracts[1].lines[0].plan", "billed_twice")]
    ended = CONTRACTS.replace("starts_on: 2026-01-15", "starts_on: 2026-01-15\n    ends_on: 2026-02-01")
    contracts(ended + second)
    assert Contract.objects.filter(status=ContractStatus.APPROVED).count() == 2


def test_a_contract_that_an_amendment_in_the_same_file_makes_room_for_is_approved() -> None:
    catalog()
    contracts()
    second = "  - {number: C-2, customer: acme, starts_on: 2026-02-01, lines: [{plan: pro}]}\n"
    ended = CONTRACTS.replace("starts_on: 2026-01-15", "starts_on: 2026-01-15\n    ends_on: 2026-02-01")
    assert contracts(ended + second) == ["contract C-1: amended", "contract C-2: drafted", "contract C-2: approved"]


def test_a_later_load_approves_what_was_drafted() -> None:
    catalog()
    contracts(publish=False)
    assert contracts() == ["contract C-1: approved"]
    contract = Contract.objects.get()
    assert (contract.status, contract.lines.count()) == (ContractStatus.APPROVED, 1)
    assert ContractLine.history.count() == 1


def test_what_a_file_says_twice_is_said_one_after_the_other() -> None:
    catalog()
    again = CONTRACTS.replace("customers: [", "customers: [{key: acme, name: First}, ")
    assert contracts(again)[:2] == ["customer acme: created", "customer acme: updated"]
    assert [one.name for one in Customer.history.order_by("history_id")] == ["First", "Acme GmbH"]


def test_contracts_are_not_looked_at_where_a_customer_is_wrong() -> None:
    catalog()
    wrong = CONTRACTS.replace("bills@acme.example", "nobody").replace("plan: pro", "plan: max")
    with pytest.raises(UnableToLoad) as error:
        contracts(wrong)
    assert faults(error) == [("customers[0].contacts[0].email", "invalid")]


def test_a_load_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog()
    monkeypatch.setattr(contract_loading, "CHUNK", 2)
    told: list[int] = []
    load_contracts(
        decode(ContractsWords, read_text(many(3))), Load(AT, "contracts.yaml", progress=told.append), publish=True
    )
    assert told == [2, 1, 2, 1]
    assert Contract.objects.approved().count() == 3
