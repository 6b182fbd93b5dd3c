"""A scenario from its words to its outcome: load what it declares, take its steps in order, look at what came of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import msgspec
from django.db import transaction

from billing.entitlements.access import agreed_by, standings
from billing.entitlements.intake import amend_event, take_in, void_event
from billing.entitlements.notices import look_over, notices_in_order
from billing.invoicing import bill_run
from billing.invoicing.crediting import UnableToVoid, void_invoice
from billing.invoicing.preview import UnableToPreview, previews
from billing.invoicing.rendering import for_rendering, invoice_json
from billing.metering.corrections import UnableToCorrect
from billing.metering.quarantine import held_records
from billing.models import Invoice, InvoiceStatus, Purpose, Source
from catalog.models import Plan, Seller
from catalog.money import quantity_text
from catalog.pricing import FieldError
from contracts import lifecycle
from contracts.lifecycle import UnableToAmend
from contracts.models import Contract, Customer
from revops.simulation.comparing import Mismatch, differences
from revops.simulation.databases import Say, silently, throw_away_databases
from revops.vocabulary.amending import amend, grant, renew
from revops.vocabulary.catalog_loading import keep_catalog
from revops.vocabulary.contract_loading import keep_contracts
from revops.vocabulary.contract_terms import UnknownTerm, version_of
from revops.vocabulary.decoding import InvalidDocument, decode
from revops.vocabulary.loading import Load, UnableToLoad
from revops.vocabulary.words import (
    AmendEventWords,
    AmendWords,
    BillRunWords,
    EventPointWords,
    GrantStepWords,
    MigrateWords,
    RenewStepWords,
    ScenarioWords,
    StepWords,
    VoidInvoiceWords,
)

# Which document of a period is meant where several begin on the same day.
PURPOSES = (Purpose.CLOSE, Purpose.ADVANCE, Purpose.ADJUSTMENT)
BEGINNING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)  # when a scenario without steps is loaded


class UnableToPlay(Exception):
    """A scenario that says something that is not supported, not known or not possible; `errors` names it."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.path}: {error.detail}" for error in errors))


def play(document: object, say: Say = silently) -> dict[str, Any]:
    """The outcome of a scenario document, played on throw-away databases. Raises UnableToPlay, UnableToClone."""
    words = read_scenario(document)
    with throw_away_databases(say):
        return perform(words)


def read_scenario(document: object) -> ScenarioWords:
    """The scenario's words, its steps in order. Raises UnableToPlay."""
    try:
        words = decode(ScenarioWords, document)
    except InvalidDocument as invalid:
        raise UnableToPlay(invalid.errors) from invalid
    errors = []
    for index, step in enumerate(words.steps):
        if len(step.deeds()) > 1:
            detail = f"a step does one thing, this one {' and '.join(step.deeds())}; make several steps of it"
            errors.append(FieldError(f"steps[{index}]", "invalid", detail))
        if index and step.at < words.steps[index - 1].at:
            detail = f"{step.at.isoformat()} is before the step above it; steps are in the order of time"
            errors.append(FieldError(f"steps[{index}].at", "order", detail))
    if errors:
        raise UnableToPlay(errors)
    return words


def perform(words: ScenarioWords) -> dict[str, Any]:
    """The outcome of a scenario, played on the databases that are connected: they should be empty.

    Raises UnableToPlay.
    """
    stage = Stage()
    _load(words)
    for index, step in enumerate(words.steps):
        take_step(stage, step, f"steps[{index}]")
    outcome = stage.outcome()
    mismatches = list(stage.failures)
    if words.expect is not None:
        for name, expected in words.expect.named():
            mismatches += differences(expected, outcome[name], name)
    return {**outcome, "mismatches": [asdict(one) for one in mismatches]}


def take_step(stage: Stage, step: StepWords, path: str) -> None:
    """Take one step; one that is not possible changes nothing. Raises UnableToPlay."""
    try:
        stage.take(step, path)
    except UnableToAmend as unable:
        raise UnableToPlay(_under(path, unable.errors)) from unable
    except UnknownTerm as unknown:
        raise UnableToPlay(_under(path, [unknown.error])) from unknown
    except (UnableToVoid, UnableToCorrect, UnableToPreview) as unable:
        raise UnableToPlay([FieldError(path, "impossible", str(unable))]) from unable


def _load(words: ScenarioWords) -> None:
    load = Load(words.steps[0].at if words.steps else BEGINNING, words.name or "a scenario")
    try:
        with transaction.atomic():
            keep_catalog(words, load, publish=True)
            load.finish()
            seller = Seller.objects.order_by("pk").first()
            assert seller is not None, "loading a catalog makes its seller"
            keep_contracts(words, load, seller, publish=True)
            for source in _undeclared_sources(words):
                load.keep(Source.objects.filter(key=source), "sources", {"key": source})
            load.finish()
    except UnableToLoad as unable:
        raise UnableToPlay(unable.errors) from unable


def _undeclared_sources(words: ScenarioWords) -> list[str]:
    declared = {source.key for source in words.sources}
    named = {
        event["source"]: None
        for step in words.steps
        for event in step.events or ()
        if isinstance(event, Mapping) and isinstance(event.get("source"), str) and event["source"]
    }
    return [source for source in named if source not in declared and len(source) <= 255]


class Stage:
    """Takes the steps of one scenario and remembers what no table does."""

    def __init__(self) -> None:
        self.now: dt.datetime | None = None
        self.previews: list[dict[str, Any]] = []
        self.failures: list[Mismatch] = []

    def take(self, step: StepWords, path: str) -> None:
        deeds: dict[str, Callable[[Any, dt.datetime, str], None]] = {
            "events": self._events,
            "preview": self._preview,
            "bill_run": self._bill_run,
            "void_event": self._void_event,
            "amend_event": self._amend_event,
            "migrate": self._migrate,
            "amend": self._amend,
            "renew": self._renew,
            "void_invoice": self._void_invoice,
            "grant": self._grant,
        }
        self.now = step.at
        for name in step.deeds():
            deeds[name](getattr(step, name), step.at, f"{path}.{name}")
        look_over(step.at)

    def outcome(self) -> dict[str, Any]:
        """Everything that came to be, each list in that order; documents as they are in the end."""
        documents = Invoice.objects.order_by("pk")
        return {
            "invoices": [invoice_json(one) for one in for_rendering(documents.invoices())],
            "previews": self.previews,
            "credit_notes": [invoice_json(one) for one in for_rendering(documents.credit_notes())],
            "quarantine": [
                {"source": held.source or None, "id": held.event_id or None, "reason": held.reason}
                for held in held_records()
            ],
            "notices": [
                {
                    "customer": one.contract.customer.key,
                    "feature": one.feature,
                    "threshold": one.threshold,
                    "at": one.at.isoformat(),
                }
                for one in notices_in_order()
            ],
            "entitlements": self._entitlements(),
        }

    def _entitlements(self) -> list[dict[str, Any]]:
        """What every customer may use at the last step."""
        if self.now is None:
            return []
        keys = dict(Customer.objects.order_by("pk").values_list("pk", "key"))
        return [
            {
                "customer": keys[one.customer_id],
                "feature": one.terms.feature,
                **{name: _figure(getattr(one, name)) for name in ("limit", "used", "remaining")},
                "has_access": one.has_access,
            }
            for one in standings(agreed_by(keys), self.now)
        ]

    def _events(self, events: Sequence[Any], at: dt.datetime, path: str) -> None:
        if events:
            take_in([event_bytes(event) for event in events], at=at, door="scenario")

    def _preview(self, key: str, at: dt.datetime, path: str) -> None:
        shown = previews(_customer(key, path), at)
        self.previews += [{"at": at.isoformat(), **one} for one in shown]

    def _bill_run(self, words: bool | BillRunWords, at: dt.datetime, path: str) -> None:
        if words is False:
            return
        key = words.customer if isinstance(words, BillRunWords) else None
        customers = None if key is None else [_customer(key, f"{path}.customer").key]
        result = bill_run.run(at, customers=customers)
        self.failures += [Mismatch(path, "every contract billed", failure) for failure in result.failures]

    def _void_event(self, words: EventPointWords, at: dt.datetime, path: str) -> None:
        void_event(words.source, words.id, reason=words.reason, at=at)

    def _amend_event(self, words: AmendEventWords, at: dt.datetime, path: str) -> None:
        amend_event(words.source, words.id, _ENCODER.encode(words.data), reason=words.reason, at=at)

    def _migrate(self, words: MigrateWords, at: dt.datetime, path: str) -> None:
        plan = Plan.objects.filter(key=words.plan).first()
        if plan is None:
            raise _unknown(f"{path}.plan", f"there is no plan {words.plan}")
        version = version_of(plan, words.version, "migrate.version")
        lifecycle.move_to_version(_contract(words.contract, path), plan, version, words.on, at=at)

    def _amend(self, words: AmendWords, at: dt.datetime, path: str) -> None:
        amend(_contract(words.contract, path), words, at=at, reason=words.reason or "")

    def _grant(self, words: GrantStepWords, at: dt.datetime, path: str) -> None:
        grant(_contract(words.contract, path), words, at=at)

    def _renew(self, words: RenewStepWords, at: dt.datetime, path: str) -> None:
        renew(_contract(words.contract, path), words, at=at)

    def _void_invoice(self, words: VoidInvoiceWords, at: dt.datetime, path: str) -> None:
        void_invoice(_document(words, path), reason=words.reason, waive=words.waive, at=at)


def _figure(number: Decimal | None) -> str | None:
    return None if number is None else quantity_text(number)


def event_bytes(event: Any) -> bytes:
    """An event of a file as the JSON record a source would have sent; numbers keep their digits."""
    if isinstance(event, Mapping) and isinstance(event.get("time"), dt.date):
        event = {**event, "time": _rfc_3339(event["time"])}
    return _ENCODER.encode(event)


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _rfc_3339(time: dt.date) -> str:
    instant = time if isinstance(time, dt.datetime) else dt.datetime.combine(time, dt.time(0), dt.UTC)
    return instant.astimezone(dt.UTC).isoformat()


def _customer(key: str, path: str) -> Customer:
    customer = Customer.objects.filter(key=key).first()
    if customer is None:
        raise _unknown(path, f"there is no customer {key}")
    return customer


def _contract(number: str, path: str) -> Contract:
    contract = Contract.objects.filter(number=number).select_related("customer", "seller").first()
    if contract is None:
        raise _unknown(f"{path}.contract", f"there is no contract {number}")
    return contract


def _document(words: VoidInvoiceWords, path: str) -> Invoice:
    """The document a step means: not voided yet, and where several fit, the one that closed the period."""
    asked = {
        "number": words.number,
        "customer__key": words.customer,
        "contract__number": words.contract,
        "period_start": words.period_start,
        "purpose": words.purpose,
    }
    named = {name: value for name, value in asked.items() if value is not None}
    if not named.keys() & {"number", "customer__key", "contract__number"}:
        raise _unknown(path, "say which invoice: its number, or its customer and period_start")
    found = list(Invoice.objects.exclude(status=InvoiceStatus.VOIDED).filter(**named).order_by("-pk"))
    if not found:
        raise _unknown(path, "there is no such invoice that is not voided already")
    found.sort(key=lambda invoice: (PURPOSES.index(Purpose(invoice.purpose)), invoice.document != "invoice"))
    best = [one for one in found if (one.purpose, one.document) == (found[0].purpose, found[0].document)]
    if len({one.contract_id for one in best}) > 1:
        raise _unknown(path, "several contracts have such an invoice; name the contract")
    return best[0]


def _unknown(path: str, detail: str) -> UnableToPlay:
    return UnableToPlay([FieldError(path, "unknown", detail)])


def _under(path: str, errors: Sequence[FieldError]) -> list[FieldError]:
    return [FieldError(f"{path}.{error.path}", error.code, error.detail) for error in errors]
