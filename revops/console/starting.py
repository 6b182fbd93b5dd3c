"""What to do first: the steps from an empty office to its first invoice, each with the page where it is done."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.urls import reverse

from billing.models import BillRun, Receipt, Source
from catalog.models import Meter, PlanVersion, Seller, VersionStatus
from contracts.models import Contract, ContractStatus, Customer
from revops.models import ApiKey


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `address` is where the person who looks can do it, empty where they may not."""

    title: str
    why: str
    is_done: bool
    address: str


def first_steps(user: User) -> list[Step]:
    """The steps in their order; none once something was received and billing has run."""
    if Receipt.objects.exists() and BillRun.objects.exists():
        return []

    def step(title: str, why: str, is_done: bool, model: str, permission: str) -> Step:
        verb = "add" if permission.partition(".")[2].startswith("add_") else "changelist"
        address = reverse(f"admin:{model}_{verb}") if user.has_perm(permission) else ""
        return Step(title, why, is_done, address)

    sold = PlanVersion.objects.filter(status=VersionStatus.PUBLISHED)
    signed = Contract.objects.filter(status=ContractStatus.APPROVED)
    return [
        step("Create the seller", "The legal entity that invoices: tax id, currency, time zone.",
             Seller.objects.exists(), "catalog_seller", "catalog.add_seller"),
        step("Declare a source", "Who reports events: a gateway, an application, a file.",
             Source.objects.exists(), "billing_source", "billing.add_source"),
        step("Create a meter", "What is counted in the events, and how.",
             Meter.objects.exists(), "catalog_meter", "catalog.add_meter"),
        step("Publish a plan version with prices", "Drafted by one person, approved by another.",
             sold.exists(), "catalog_planversion", "catalog.add_planversion"),
        step("Create a customer", "Who is billed, and the subjects that name it in events.",
             Customer.objects.exists(), "contracts_customer", "contracts.add_customer"),
        step("Approve its contract", "Drafted by one person, approved by another.",
             signed.exists(), "contracts_contract", "contracts.add_contract"),
        step("Make an API key", "For whoever reports events; the secret is shown once.",
             ApiKey.objects.exists(), "revops_apikey", "revops.add_apikey"),
        step("Report the first events", "POST /api/v1/events, or import_usage with a file.",
             Receipt.objects.exists(), "billing_receipt", "billing.view_receipt"),
        step("Run billing", "The schedule does it every hour: periods that are over become invoices.",
             BillRun.objects.exists(), "billing_invoice", "billing.run_billing"),
    ]  # fmt: skip
