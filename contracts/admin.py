"""The desk of who agreed to what: customers, their subjects and contacts, contracts and their terms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from catalog.admin import priced, prices_in_words
from catalog.columns import count, money, quantity, status
from catalog.deeds import Change, DayField, Deed, DeedsMixin
from catalog.desks import FactDesk, HistoryDesk, PartsMixin, ShownInline, TabularInline
from catalog.models import PlanVersion, VersionStatus
from catalog.pricing import FieldError
from catalog.wording import figure, money_words, price_words
from contracts.allowance_desk import ChangeAllowance, features_in_words
from contracts.checking import faults
from contracts.drafts import terms_of
from contracts.lifecycle import UnableToApprove, add_one_time, approve, end, move_to_version, submit
from contracts.models import (
    Contact,
    Contract,
    ContractLine,
    ContractStatus,
    Customer,
    CustomerAlias,
    Discount,
    DiscountKind,
    OneTimeTerm,
)
from contracts.standing import running, standing_contracts


class AliasInline(TabularInline[CustomerAlias, Customer]):
    model = CustomerAlias
    extra = 0


class ContactInline(TabularInline[Contact, Customer]):
    model = Contact
    extra = 0


class ContractInline(ShownInline):
    """The contracts of a customer, to go to; they are edited on their own page."""

    model = Contract
    fields = ["number", "status", "currency", "starts_on", "ends_on"]
    ordering = ["-starts_on"]
    show_change_link = True


@admin.register(Customer)
class CustomerDesk(HistoryDesk):
    list_display = ["name", "key", "country", "timezone", "tax_id", "contracts_figure"]
    list_filter = ["country", "tax_exempt"]
    search_fields = ["key", "name", "tax_id", "aliases__subject", "contacts__email"]
    search_help_text = "Name, key, tax id, a subject of its events, or a contact's address."
    ordering = ["name"]
    fields = [
        "name", "key", "country", "timezone", "tax_id", "tax_exempt", "tax_exempt_reason", "billing_address",
    ]  # fmt: skip
    inlines = [AliasInline, ContactInline, ContractInline]
    empty_hint = "A customer is who is billed. Its key, or a subject of its own, names it in events."
    contracts_figure = count("approved_contracts", title="contracts")
    change_form_template = "admin/contracts/customer/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        rows: QuerySet[Customer] = super().get_queryset(request)
        approved = Count("contracts", filter=Q(contracts__status=ContractStatus.APPROVED))
        return rows.annotate(approved_contracts=approved)

    def get_readonly_fields(self, request: HttpRequest, obj: Customer | None = None) -> list[str]:
        if obj is None:
            return []
        # The billing days of contracts without a zone of their own follow the customer's.
        bound = obj.contracts.approved().filter(timezone="").exists()
        return ["key", "timezone"] if bound else ["key"]


@admin.register(CustomerAlias)
class CustomerAliasDesk(HistoryDesk):
    list_display = ["subject", "customer"]
    list_select_related = ["customer"]
    search_fields = ["subject", "customer__key", "customer__name"]
    ordering = ["subject"]
    autocomplete_fields = ["customer"]


@admin.register(Contact)
class ContactDesk(HistoryDesk):
    list_display = ["email", "name", "customer", "receives_invoices", "receives_notices"]
    list_filter = ["receives_invoices", "receives_notices"]
    list_select_related = ["customer"]
    search_fields = ["email", "name", "customer__name"]
    ordering = ["email"]
    autocomplete_fields = ["customer"]


class TermInline(TabularInline[Any, Contract]):
    """Terms of a draft. Once the contract counts they are superseded by amendments, and shown as a table."""

    extra = 0


class LineInline(TermInline):
    model = ContractLine
    fields = ["plan_version", "key", "quantity", "starts_on", "ends_on", "position"]
    autocomplete_fields = ["plan_version"]


class DiscountInline(TermInline):
    model = Discount
    fields = ["key", "kind", "value", "applies_to", "starts_on", "ends_on", "position"]


class OneTimeInline(TermInline):
    model = OneTimeTerm
    fields = ["key", "description", "amount", "on"]


class SubmitContract(Deed):
    name, label, permission = "submit_contract", "Submit for approval", "contracts.submit_contract"
    explanation = "Another person then approves it. After: what is billed once it counts."
    refusals = (UnableToApprove,)

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.DRAFT

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        if found := faults(row, terms_of(row)):
            raise UnableToApprove(found)
        return [Change(subject, "not billed", words) for subject, words in terms_in_words(row) if words]

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        submit(row, at=at, by=by)
        return f"{row} waits for approval by another person."


class ApproveContract(SubmitContract):
    name, label, permission = "approve_contract", "Approve", "contracts.approve_contract"
    explanation = "From then on its use is billed, and its terms change by amendment only."
    is_grave = True

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.REVIEW

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        approve(row, at=at, by=by)
        return f"{row} is approved."


class EndForm(forms.Form):
    on = DayField(label="First day out", help_text="The first day that is no longer covered.")
    reason = forms.CharField(label="Why", max_length=500)


class EndContract(Deed):
    name, label, permission = "end_contract", "End", "contracts.end_contract"
    explanation = "Its lines end with it. Use after that day is held for review; what was paid ahead comes back."
    refusals = (UnableToApprove,)
    form_class = EndForm
    is_grave = True

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.APPROVED

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        until = f"until {row.ends_on}" if row.ends_on else "without an end"
        terms = [(subject, words) for subject, words in terms_in_words(row) if words]
        ended = [Change(subject, words, "nothing from the first day out") for subject, words in terms]
        return [Change("It runs", until, "until the first day out"), *ended]

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        end(row, asked["on"], at=at, by=by, reason=asked["reason"])
        return f"{row} ends on {row.ends_on}."


class MoveForm(forms.Form):
    version = forms.ModelChoiceField(
        PlanVersion.objects.filter(status=VersionStatus.PUBLISHED)
        .select_related("plan")
        .order_by("plan__key", "number"),
        help_text="Lines of the same plan are moved to it.",
    )
    on = DayField(label="From", help_text="The first day at the new prices; a day in the past is adjusted.")


class MoveToVersion(Deed):
    name, label, permission = "move_to_version", "Move to version", "contracts.amend_contract"
    explanation = "From that day on the contract's lines of a plan stand on another of its versions."
    refusals = (UnableToApprove,)
    form_class = MoveForm

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.APPROVED

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        """What the plan's latest version would charge; the form may name another."""
        changes = []
        for line in row.lines.in_force().select_related("plan_version__plan"):
            now = prices_in_words(line.plan_version)
            published = line.plan_version.plan.versions.filter(status=VersionStatus.PUBLISHED)
            newest = published.order_by("-number").first()
            if newest is None:
                unsold = f"{line.plan_version.plan} has no published version now"
                raise UnableToApprove([FieldError("version", "missing", unsold)])
            then = prices_in_words(newest)
            changes += [
                Change(
                    f"{key}, {line.plan_version} to {newest}", now.get(key, "not charged"), then.get(key, "not charged")
                )
                for key in {**now, **then}
            ]
        return changes

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        version = asked["version"]
        move_to_version(row, version.plan, version, asked["on"], at=at, by=by)
        return f"{row} stands on {version} from {asked['on']}."


class OneTimeForm(forms.Form):
    key = forms.CharField(max_length=80, help_text="Names the term, once in the contract: setup, goodwill-1.")
    description = forms.CharField(max_length=200, help_text="As printed on the invoice.")
    amount = forms.DecimalField(max_digits=24, decimal_places=4, help_text="Below zero it is a credit.")
    on = DayField(help_text="The day of the contract it belongs to.")


class AddOneTime(Deed):
    name, label, permission = "add_one_time", "Charge or credit once", "contracts.amend_contract"
    explanation = "An amount on the contract's next invoice, before tax."
    refusals = (UnableToApprove,)
    form_class = OneTimeForm

    def applies(self, row: Contract) -> bool:
        return row.status == ContractStatus.APPROVED

    def changes(self, row: Contract, at: dt.datetime) -> Sequence[Change]:
        amounts = row.one_time_terms.in_force().values_list("amount", flat=True)
        now = money_words(sum(amounts, Decimal(0)), row.currency)
        return [Change("One-time terms", now, f"{now}, and the amount below")]

    def do(self, row: Contract, at: dt.datetime, by: AbstractBaseUser, asked: Mapping[str, Any]) -> str:
        add_one_time(row, asked["key"], asked["description"], asked["amount"], asked["on"], at=at, by=by)
        return f"{money_words(asked['amount'], row.currency)} on {asked['on']}: {asked['description']}."


class VersionFilter(admin.SimpleListFilter):
    """The contracts with a line that runs today on a version."""

    title = "stands today on"
    parameter_name = "on_version"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        standing = running(timezone.now().date()).values("plan_version")
        versions = PlanVersion.objects.filter(pk__in=standing).select_related("plan")
        return [(str(version.pk), str(version)) for version in versions.order_by("plan__key", "number")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Contract]) -> QuerySet[Contract]:
        asked = self.value()
        if asked is None:
            return queryset
        if not asked.isdecimal():
            raise IncorrectLookupParameters
        return queryset.filter(pk__in=standing_contracts(int(asked), timezone.now().date()).values("pk"))


@admin.register(Contract)
class ContractDesk(DeedsMixin, HistoryDesk):
    list_display = ["number", "customer", "state", "currency", "starts_on", "ends_on", "purchase_order"]
    empty_hint = "A contract says which customer has which plan version, from when, and at which terms."
    state = status("status", good=[ContractStatus.APPROVED], warn=[ContractStatus.DRAFT, ContractStatus.REVIEW])
    list_filter = ["status", "currency", "seller", "anchor", VersionFilter]
    list_select_related = ["customer", "seller"]
    search_fields = ["number", "customer__key", "customer__name", "purchase_order"]
    date_hierarchy = "starts_on"
    ordering = ["-starts_on", "number"]
    autocomplete_fields = ["customer"]
    fieldsets = [
        (None, {"fields": [("number", "status"), ("customer", "seller"), "purchase_order"]}),
        ("Dates", {"fields": [("starts_on", "ends_on"), ("anchor", "timezone")]}),
        ("Money", {"fields": [("currency", "payment_terms_days"), "tolerance_window"]}),
        ("Terms", {"fields": ["terms"]}),
    ]
    deeds: ClassVar[Sequence[Deed]] = (
        SubmitContract(), ApproveContract(), MoveToVersion(), AddOneTime(), ChangeAllowance(),
        EndContract(),
    )  # fmt: skip

    def frozen(self, row: Contract) -> str | None:
        if row.status == ContractStatus.REVIEW:
            return "This contract waits for approval: what is approved is what was submitted."
        if row.status == ContractStatus.APPROVED:
            return (
                "This contract is approved and billed as it stands. To change its terms, amend it: that supersedes "
                "terms from a day on, and keeps what was agreed before."
            )
        return None

    def has_delete_permission(self, request: HttpRequest, obj: Contract | None = None) -> bool:
        """A contract that was submitted and is not wanted may go, too."""
        if obj is not None and obj.status == ContractStatus.REVIEW:
            return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Contract | None = None) -> list[str]:
        return ["status", "terms"]

    def get_inlines(self, request: HttpRequest, obj: Contract | None = None) -> Any:
        draft = obj is None or obj.status == ContractStatus.DRAFT
        return [LineInline, DiscountInline, OneTimeInline] if draft else []

    @admin.display(description="as agreed")
    def terms(self, contract: Contract) -> SafeString | str:
        if contract.pk is None:
            return "Save the contract with its lines, discounts and one-time terms below."
        context = {"terms": terms_in_words(contract), "superseded": superseded(contract)}
        return mark_safe(render_to_string("admin/contracts/terms.html", context))


class TermDesk(PartsMixin, FactDesk):
    """Terms of all contracts, to search; they are edited on a draft's page and superseded by amendments."""

    part_of = "contract"

    list_select_related = ["contract"]
    search_fields = ["contract__number", "key"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Terms go with a contract that is not approved; one of them alone, with a draft's only."""
        if obj is None or obj.contract.status == ContractStatus.APPROVED:
            return False
        return bool(admin.ModelAdmin.has_delete_permission(self, request, obj))


@admin.register(ContractLine)
class ContractLineDesk(TermDesk):
    list_display = ["contract", "key", "plan_version", "quantity_figure", "starts_on", "ends_on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "plan_version__plan"]
    list_select_related = ["contract", "plan_version__plan"]
    ordering = ["contract__number", "position", "starts_on"]

    quantity_figure = quantity("quantity")


@admin.register(Discount)
class DiscountDesk(TermDesk):
    list_display = ["contract", "key", "value_figure", "applies_to", "starts_on", "ends_on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter), "kind"]
    ordering = ["contract__number", "position"]

    @admin.display(description="value", ordering="value")
    def value_figure(self, discount: Discount) -> str:
        return discount_value(discount)


@admin.register(OneTimeTerm)
class OneTimeTermDesk(TermDesk):
    list_display = ["contract", "key", "description", "amount_figure", "on", "superseded_at"]
    list_filter = [("superseded_at", admin.EmptyFieldListFilter)]
    date_hierarchy = "on"
    ordering = ["-on"]

    amount_figure = money("amount", currency="contract.currency")


def terms_in_words(contract: Contract) -> list[tuple[str, str]]:
    """The terms in force as (what, how much), in the order of the contract."""
    said = []
    for line in contract.lines.in_force().select_related("plan_version__plan"):
        until = f" until {line.ends_on}" if line.ends_on else ""
        said.append((f"{line.plan_version}, {figure(line.quantity)} from {line.starts_on}{until}", ""))
        version = line.plan_version
        said += [(str(price), price_words(price, version.currency)) for price in priced(version)]
    for discount in contract.discounts.in_force():
        scope = f"on {', '.join(discount.applies_to)}" if discount.applies_to else "on the whole period"
        until = f" until {discount.ends_on}" if discount.ends_on else ""
        said.append((f"Discount from {discount.starts_on}{until}", f"{discount_value(discount)} {scope}"))
    for term in contract.one_time_terms.in_force():
        said.append((f"{term.description}, once on {term.on}", money_words(term.amount, contract.currency)))
    return [*said, *features_in_words(contract)]


def discount_value(discount: Discount) -> str:
    if discount.kind == DiscountKind.PERCENT:
        return f"{figure(discount.value)} % off"
    return f"{figure(discount.value)} {discount.contract.currency} off per period"


def superseded(contract: Contract) -> list[tuple[str, dt.datetime]]:
    """What amendments replaced, the latest first."""
    kinds = (contract.lines, contract.discounts, contract.one_time_terms, contract.entitlements)
    rows = [row for kind in kinds for row in kind.filter(superseded_at__isnull=False)]
    said = [(f"{row._meta.verbose_name} {row.key}", row.superseded_at) for row in rows]
    return sorted(said, key=lambda one: one[1], reverse=True)
