"""Files make catalog and contracts say what they say; a second time changes nothing."""

import datetime as dt
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing.models import Bucket, Source
from catalog.models import Meter, Plan, PlanVersion, Seller, TaxRate, VersionStatus
from contracts.models import Contract, ContractStatus, Customer
from revops.vocabulary.catalog_loading import load_catalog
from revops.vocabulary.contract_loading import load_contracts
from revops.vocabulary.decoding import decode
from revops.vocabulary.documents import read_text
from revops.vocabulary.loading import Load, UnableToLoad
from revops.vocabulary.words import CatalogWords, ContractsWords

pytestmark = pytest.mark.django_db(databases="__all__")

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CATALOG = """
currency: EUR
timezone: Europe/Berlin
seller: {key: main, name: Watertight GmbH, country: DE}
sources: [{key: gw, name: Gateway, tolerance_window: 24h}]
tax_rates: [{code: de-vat, percent: "19", country: DE}]
features: [{key: tokens, name: Tokens}]
meters:
  - {key: tokens, event_type: llm.request, aggregation: sum, value: tokens, group_by: [model], filters: {model: m1}}
plans:
  - key: pro
    versions:
      - effective_from: 2026-01-01
        prices:
          - {key: base, kind: recurring, model: flat, flat_amount: "99.00", billing: in_advance}
          - {key: tokens, kind: usage, meter: tokens, model: per_unit, unit_amount: 0.002}
"""
CONTRACTS = """
customers: [{key: acme, name: Acme GmbH, country: DE, subjects: [acme-eu], contacts: [{email: bills@acme.example}]}]
contracts:
  - number: C-1
    customer: acme
    starts_on: 2026-01-15
    lines: [{plan: pro}]
    discounts: [{kind: percent, value: "10", applies_to: [tokens]}]
"""


def catalog(text: str = CATALOG, *, publish: bool = True) -> list[str]:
    load = load_catalog(decode(CatalogWords, read_text(text)), Load(AT, "catalog.yaml"), publish=publish)
    return [f"{one.object}: {one.change}" for one in load.changes]


def contracts(text: str = CONTRACTS, *, publish: bool = True) -> list[str]:
    load = load_contracts(decode(ContractsWords, read_text(text)), Load(AT, "contracts.yaml"), publish=publish)
    return [f"{one.object}: {one.change}" for one in load.changes]


def faults(error: pytest.ExceptionInfo[UnableToLoad]) -> list[tuple[str, str]]:
    return [(one.path, one.code) for one in error.value.errors]


def test_a_catalog_is_loaded_and_published() -> None:
    assert catalog() == [
        "seller main: created",
        "source gw: created",
        "tax rate de-vat: created",
        "feature tokens: created",
        "meter tokens: created",
        "plan pro: created",
        "plan version pro@1: drafted",
        "plan version pro@1: published",
    ]
    seller, meter = Seller.objects.get(), Meter.objects.get()
    assert (seller.currency, seller.timezone) == ("EUR", "Europe/Berlin")
    assert meter.filters == {"model": ["m1"]}
    price = PlanVersion.objects.get().prices.get(key="tokens")
    assert (price.unit_amount, price.prorate) == (Decimal("0.002"), False)


def test_the_same_files_again_change_nothing() -> None:
    catalog()
    contracts()
    histories = PlanVersion.history.count() + Contract.history.count() + Meter.history.count()
    assert catalog() == []
    assert contracts() == []
    assert PlanVersion.history.count() + Contract.history.count() + Meter.history.count() == histories


def test_without_publish_a_version_stays_a_draft_until_a_later_load() -> None:
    catalog(publish=False)
    assert PlanVersion.objects.get().status == VersionStatus.DRAFT
    assert catalog(publish=True) == ["plan version pro@1: published"]


def test_new_content_of_a_version_is_a_new_draft_version_and_only_once() -> None:
    catalog()
    changed = CATALOG.replace("0.002", "0.003")
    assert catalog(changed, publish=False) == ["plan version pro@2: drafted"]
    assert catalog(changed, publish=False) == []
    assert [str(version) for version in PlanVersion.objects.filter(status="published")] == ["pro@1"]


def test_what_may_be_edited_changes_with_a_history() -> None:
    catalog()
    assert catalog(CATALOG.replace("name: Gateway", "name: Edge")) == ["source gw: updated"]
    row = Source.history.latest("history_id")
    assert (row.name, row.history_change_reason, row.history_date) == ("Edge", "Loaded from catalog.yaml", AT)


def test_what_a_file_leaves_out_keeps_what_it_is() -> None:
    catalog()
    assert catalog("sources: [{key: gw}]\nseller: {key: main}") == []
    assert Source.objects.get().name == "Gateway"


def test_a_meter_that_has_counted_is_frozen() -> None:
    catalog()
    changed = CATALOG.replace("aggregation: sum", "aggregation: max")
    assert catalog(changed) == ["meter tokens: updated"]
    Bucket.objects.create(customer_id=1, meter_id=Meter.objects.get().pk, starts_at=AT, group="", n=1, total=1, clock=1)
    with pytest.raises(UnableToLoad) as error:
        catalog()
    assert faults(error) == [("meters[0].aggregation", "frozen")]
    assert catalog(changed.replace("group_by", "unit: tokens, group_by")) == ["meter tokens: updated"]


def test_nothing_of_a_file_with_a_fault_is_loaded() -> None:
    text = (
        CATALOG.replace("meter: tokens", "meter: words")
        + "  - {key: b, versions: [{prices: [{key: x, kind: usage, model: flat}]}]}"
    )
    with pytest.raises(UnableToLoad) as error:
        catalog(text)
    assert faults(error) == [
        ("plans[0].versions[0].prices[1].meter", "unknown"),
        ("plans[1].versions[0].prices[0].meter", "missing"),
        ("plans[1].versions[0].prices[0].flat_amount", "missing"),
    ]
    assert not Seller.objects.exists() and not Plan.objects.exists()


def test_rates_of_one_country_are_told_apart_by_category_and_tax() -> None:
    rates = (
        '[{code: gst, percent: "5", country: CA, tax: gst},'
        ' {code: pst, percent: "7", country: CA, tax: pst, compound: true},'
        ' {code: books, percent: "0", country: CA, tax: pst, category: books}]'
    )
    made = ["seller main: created", *(f"tax rate {code}: created" for code in ("gst", "pst", "books"))]
    assert catalog(f"tax_rates: {rates}") == made
    assert list(TaxRate.objects.values_list("code", "category", "tax", "compound").order_by("code")) == [
        ("books", "books", "pst", False),
        ("gst", "", "gst", False),
        ("pst", "", "pst", True),
    ]
    assert catalog(f"tax_rates: {rates}") == []


def test_a_rate_from_another_day_has_a_code_of_its_own() -> None:
    catalog('tax_rates: [{code: vat, percent: "19", country: DE}]')
    with pytest.raises(UnableToLoad) as error:
        catalog('tax_rates: [{code: vat, percent: "20", country: DE, effective_from: 2026-02-01}]')
    assert faults(error) == [("tax_rates[0].effective_from", "frozen")]
    assert TaxRate.objects.get().percent == 19
    catalog('tax_rates: [{code: vat, percent: "18", country: DE}]')
    assert TaxRate.objects.get().percent == 18


def test_a_rate_has_no_code_that_says_why_there_is_no_tax() -> None:
    with pytest.raises(UnableToLoad, match="exempt says on documents why there is no tax; use another code"):
        catalog('tax_rates: [{code: exempt, percent: "0", country: DE}]')


def test_a_version_says_whether_its_prices_are_with_tax() -> None:
    catalog()
    with_tax = CATALOG.replace(
        "- effective_from: 2026-01-01", "- effective_from: 2026-01-01\n        tax_behavior: inclusive"
    )
    assert catalog(with_tax) == ["plan version pro@2: drafted", "plan version pro@2: published"]
    assert catalog(with_tax) == []
    assert PlanVersion.objects.get(number=2).tax_behavior == "inclusive"


def test_a_wrong_vat_id_is_refused() -> None:
    catalog()
    text = "customers: [{key: acme, country: DE, tax_id: DE129274203}]"
    with pytest.raises(UnableToLoad, match="DE129274203 is not a VAT id of DE") as error:
        contracts(text)
    assert faults(error) == [("customers[0].tax_id", "invalid")]
    with pytest.raises(UnableToLoad, match="DE1 is not a VAT id of DE") as error:
        catalog("seller: {key: main, country: DE, tax_id: DE1}")
    assert faults(error) == [("seller.tax_id", "invalid")]


def test_contracts_are_loaded_and_approved() -> None:
    catalog()
    assert contracts() == [
        "customer acme: created",
        "customer alias acme-eu: created",
        "contact bills@acme.example: created",
        "contract C-1: drafted",
        "contract C-1: approved",
    ]
    contract = Contract.objects.get()
    line = contract.lines.get()
    assert (contract.currency, contract.anchor, contract.payment_terms_days) == ("EUR", "start", 30)
    assert (line.key, str(line.plan_version), line.quantity, line.starts_on, line.ends_on) == (
        "pro",
        "pro@1",
        1,
        dt.date(2026, 1, 15),
        None,
    )
    assert contract.discounts.get().key == "discount-1"


def test_without_publish_a_contract_stays_a_draft_that_may_still_change() -> None:
    catalog()
    contracts(publish=False)
    assert contracts(CONTRACTS.replace('"10"', '"20"'), publish=False) == ["contract C-1: drafted"]
    contract = Contract.objects.get()
    assert contract.status == ContractStatus.DRAFT
    assert contract.discounts.get().value == 20


def test_an_approved_contract_is_amended_only_when_asked() -> None:
    catalog()
    contracts()
    changed = CONTRACTS.replace('"10"', '"20"')
    with pytest.raises(UnableToLoad, match="--publish amends it"):
        contracts(changed, publish=False)
    assert contracts(changed) == ["contract C-1: amended"]
    assert contracts(changed) == []
    assert Contract.objects.get().revision == 1


def test_an_approved_contract_keeps_what_its_periods_are_built_on() -> None:
    catalog()
    contracts()
    with pytest.raises(UnableToLoad) as error:
        contracts(CONTRACTS.replace("2026-01-15", "2026-02-15"))
    assert faults(error) == [("contracts[0].starts_on", "frozen")]
    assert contracts(CONTRACTS.replace("starts_on", "purchase_order: PO-9, starts_on".replace(", ", "\n    "))) == [
        "contract C-1: updated"
    ]


def test_a_line_that_names_no_version_keeps_the_one_it_stands_on() -> None:
    catalog()
    contracts()
    catalog(CATALOG.replace("0.002", "0.003"))
    assert [str(one) for one in PlanVersion.objects.in_force(dt.date(2026, 1, 15))] == ["pro@2", "pro@1"]
    assert contracts() == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("customer: acme", "customer: zeta", ("contracts[0].customer", "unknown")),
        ("plan: pro", "plan: max", ("contracts[0].lines[0].plan", "unknown")),
        ("plan: pro", "plan: pro, version: 2", ("contracts[0].lines[0].version", "unknown")),
        ("plan: pro", "plan: pro, until: 2026-01-15", ("contracts[0].lines[0].until", "order")),
        ("2026-01-15", "2025-12-31", ("contracts[0].lines[0].version", "unknown")),
        ("[tokens]", "[words]", ("contracts[0].discounts[0].applies_to", "unknown")),
        (
            "    discounts:",
            "    commitments: [{kind: minimum, amount: 100}, {kind: cap, amount: 50}]\n    discounts:",
            ("contracts[0].commitments[0].amount", "contradiction"),
        ),
        ("bills@acme.example", "nobody", ("customers[0].contacts[0].email", "invalid")),
    ],
)
def test_a_contract_that_cannot_be_is_refused(old: str, new: str, fault: tuple[str, str]) -> None:
    catalog()
    with pytest.raises(UnableToLoad) as error:
        contracts(CONTRACTS.replace(old, new))
    assert faults(error) == [fault]
    assert not Contract.objects.exists() and not Customer.objects.exists()


def test_a_subject_belongs_to_one_customer() -> None:
    with pytest.raises(UnableToLoad) as error:
        contracts("customers: [{key: a, subjects: [x]}, {key: b, subjects: [x, a]}]")
    assert faults(error) == [("customers[1].subjects[0]", "taken"), ("customers[1].subjects[1]", "taken")]


def run(command: str, path: Path, *options: str) -> str:
    out = StringIO()
    call_command(command, path, *options, stdout=out)
    return out.getvalue()


def test_the_commands_say_what_changed(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    assert "plan version pro@1: published" in run("load_catalog", file, "--publish")
    assert run("load_catalog", file, "--publish") == "Nothing changed: everything is as the file says.\n"
    file.write_text(CONTRACTS)
    assert "contract C-1: approved" in run("load_contracts", file, "--publish")


def test_the_commands_name_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG.replace("meter: tokens", "meter: words"))
    with pytest.raises(CommandError, match=r"plans\[0\].versions\[0\].prices\[1\].meter: there is no meter words"):
        run("load_catalog", file)
    file.write_text("a: [")
    with pytest.raises(CommandError, match="not a YAML document"):
        run("load_catalog", file)


def test_the_result_is_json_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "catalog.json"
    file.write_text('{"features": [{"key": "sso"}]}')
    document: dict[str, Any] = read_text(run("load_catalog", file, "--json"))
    assert document["changes"][-1] == {"object": "feature sso", "change": "created", "detail": ""}


def test_a_contract_file_does_not_change_the_seller() -> None:
    catalog()
    with pytest.raises(UnableToLoad) as error:
        contracts("timezone: UTC\ntolerance_window: 3d" + CONTRACTS)
    assert faults(error) == [("timezone", "other"), ("tolerance_window", "other")]
    catalog(CATALOG.replace("currency: EUR", "currency: USD").replace("key: pro", "key: dollars"))
    contracts("currency: USD" + CONTRACTS.replace("plan: pro", "plan: dollars"))
    assert (Contract.objects.get().currency, Seller.objects.get().timezone) == ("USD", "Europe/Berlin")


def test_the_zone_that_contracts_are_billed_by_is_frozen() -> None:
    catalog()
    contracts()
    with pytest.raises(UnableToLoad) as error:
        catalog(CATALOG.replace("Europe/Berlin", "Europe/Paris"))
    assert faults(error) == [("timezone", "frozen")]
