"""Contracts that run on past their end: by hand, or by themselves once their notice day has come."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.invoicing import bill_run
from billing.models import PeriodClose
from contracts import lifecycle
from contracts.drafts import CommitmentDraft, DiscountDraft, GrantDraft, LineDraft, OverrideDraft, terms_of
from contracts.extending import Renewal, compounded, next_end
from contracts.lifecycle import UnableToAmend, UnableToDraft, amend, end, renew
from contracts.models import Contract
from contracts.renewing import due, renew_due
from tests.contracts.conftest import AT, START, Desk
from tests.factories import CustomerFactory

APRIL, JULY, OCTOBER = dt.date(2026, 4, 1), dt.date(2026, 7, 1), dt.date(2026, 10, 1)
QUARTERLY = Renewal(auto=True, months=3, notice_days=30, uplift_percent=Decimal(3))
NOTICE = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)  # 30 days before the first of April


def quarter(desk: Desk, *lines: LineDraft, renewal: Renewal = QUARTERLY, **given: object) -> Contract:
    """A contract of one quarter from January."""
    wanted = lines or (LineDraft(desk.version(), START),)
    return desk.signed(*wanted, ends_on=APRIL, **{**renewal.columns(), **given})


def spans(contract: Contract) -> list[tuple[str, dt.date, dt.date | None, Decimal]]:
    rows = contract.lines.in_force().order_by("key", "starts_on")
    return list(rows.values_list("key", "starts_on", "ends_on", "uplift_percent"))


@pytest.mark.parametrize(
    ("starts_on", "bill_day", "ends_on", "months", "expected"),
    [
        ("2026-01-01", None, "2027-01-01", 12, "2028-01-01"),
        ("2026-01-31", None, "2026-02-28", 1, "2026-03-31"),  # the 31st, which February lacks
        ("2026-01-30", None, "2026-02-28", 1, "2026-03-30"),
        ("2024-02-29", None, "2025-02-28", 36, "2028-02-29"),
        ("2026-01-10", 31, "2026-06-30", 1, "2026-07-31"),  # on the bill day, the last of every month
        ("2026-01-15", None, "2026-12-31", 2, "2027-02-28"),  # off the grid, and the last of its month
        ("2026-01-15", None, "2026-12-20", 2, "2027-02-20"),
    ],
)
def test_an_end_moves_on_without_drift(
    starts_on: str, bill_day: int | None, ends_on: str, months: int, expected: str
) -> None:
    days = {"starts_on": dt.date.fromisoformat(starts_on), "ends_on": dt.date.fromisoformat(ends_on)}
    assert next_end(Contract(bill_day=bill_day, **days), months).isoformat() == expected


def test_uplifts_compound() -> None:
    assert compounded(Decimal(0), Decimal(3)) == 3
    assert compounded(Decimal(3), Decimal(3)) == Decimal("6.09")
    # 1.035 x 1.035 x 1.035 = 1.108717875, to six decimals of a percent
    assert compounded(Decimal("7.1225"), Decimal("3.5")) == Decimal("10.871788")
    assert compounded(Decimal(25), Decimal(-20)) == 0


def test_what_ran_to_the_end_runs_on_with_the_uplift_from_there(desk: Desk) -> None:
    version, other = desk.version(), desk.version("extra", meters=["seats"])
    early = desk.version("early", meters=["disks"])
    lines = LineDraft(version, START), LineDraft(other, START, APRIL), LineDraft(early, START, dt.date(2026, 2, 1))
    contract = quarter(desk, *lines)
    renew(contract, at=AT)
    assert (contract.ends_on, contract.revision) == (JULY, 1)
    assert spans(contract) == [
        ("early", START, dt.date(2026, 2, 1), 0),
        ("extra", START, APRIL, 0),
        ("extra", APRIL, JULY, 3),
        ("pro", START, APRIL, 0),
        ("pro", APRIL, None, 3),
    ]
    renew(contract, months=3, uplift_percent=Decimal(10), at=AT)
    assert spans(contract)[-2:] == [("pro", APRIL, JULY, 3), ("pro", JULY, None, Decimal("13.3"))]  # 1.03 x 1.1
    renew(contract, uplift_percent=Decimal(0), at=AT)
    assert spans(contract)[-1] == ("pro", JULY, None, Decimal("13.3"))
    assert contract.lines.filter(superseded_at__isnull=False, key="pro").count() == 2


def test_commitments_and_overrides_run_on_and_what_has_its_own_days_keeps_them(desk: Desk) -> None:
    contract = quarter(desk)
    amend(
        contract,
        at=AT,
        commitments=[
            CommitmentDraft("minimum", START, amount=Decimal(300), interval="term", key="least"),
            CommitmentDraft("minimum", START, APRIL, amount=Decimal(10), key="monthly"),
            CommitmentDraft("cap", START, amount=Decimal(900), key="most"),
            CommitmentDraft("cap", START, dt.date(2026, 2, 1), amount=Decimal(90), key="short"),
        ],
        overrides=[OverrideDraft("pro", "base", {"flat_amount": "20"}, START, APRIL)],
        discounts=[DiscountDraft("percent", Decimal(10), START, APRIL)],
        credits=[GrantDraft("promotional", Decimal(5), START, APRIL)],
    )
    renew(contract, at=AT)
    terms = terms_of(contract)
    assert sorted((one.key, one.starts_on, one.ends_on) for one in terms.commitments) == [
        ("least", START, APRIL),
        ("least.2026-04-01", APRIL, None),
        ("monthly", START, JULY),
        ("most", START, None),
        ("short", START, dt.date(2026, 2, 1)),
    ]
    assert [one.ends_on for one in terms.overrides] == [JULY]
    assert [one.ends_on for one in terms.discounts] == [APRIL]
    assert [one.expires_on for one in terms.credits] == [APRIL]
    renew(contract, at=AT)
    assert "least.2026-07-01" in {one.key for one in terms_of(contract).commitments}


@pytest.mark.parametrize(
    ("renewal", "given", "path", "message"),
    [
        (Renewal(), {"months": 0}, "months", "a renewal is for 1 to 120 months"),
        (Renewal(), {"months": 121}, "months", "a renewal is for 1 to 120 months"),
        (Renewal(), {"uplift_percent": Decimal(-100)}, "uplift_percent", "an uplift is above -100 percent"),
        (Renewal(), {"at": dt.datetime(2026, 4, 1, tzinfo=dt.UTC)}, "ends_on", "ended on 2026-04-01 and cannot be"),
    ],
)
def test_a_renewal_that_cannot_be_says_why(
    desk: Desk, renewal: Renewal, given: dict[str, object], path: str, message: str
) -> None:
    contract = quarter(desk, renewal=renewal)
    with pytest.raises(UnableToAmend, match=message) as error:
        renew(contract, **{"at": AT, **given})  # type: ignore[arg-type]
    assert [one.path for one in error.value.errors] == [path]
    assert Contract.objects.get().ends_on == APRIL


def test_what_has_no_end_or_nothing_that_runs_to_it_is_not_renewed(desk: Desk) -> None:
    with pytest.raises(UnableToAmend, match="runs without an end, so there is nothing to renew"):
        renew(desk.signed(LineDraft(desk.version(), START)), at=AT)
    short = LineDraft(desk.version("early", meters=["disks"]), START, dt.date(2026, 2, 1))
    contract = quarter(desk, short, number="C-2", customer=CustomerFactory())
    with pytest.raises(UnableToAmend, match="no line of C-2 runs to its end on 2026-04-01"):
        renew(contract, at=AT)


@pytest.mark.parametrize(
    ("renewal", "message"),
    [
        (Renewal(months=0), "a renewal is for 1 to 120 months"),
        (Renewal(notice_days=1001), "the notice is 0 to 1,000 days before the end"),
        (Renewal(uplift_percent=Decimal(-101)), "an uplift is above -100 percent"),
    ],
)
def test_how_a_contract_renews_is_checked_when_it_is_drafted(desk: Desk, renewal: Renewal, message: str) -> None:
    with pytest.raises(UnableToDraft, match=message):
        quarter(desk, renewal=renewal)


def test_a_contract_without_an_end_does_not_renew_by_itself(desk: Desk) -> None:
    with pytest.raises(UnableToDraft, match="a contract without an end runs on by itself; only one that ends renews"):
        desk.draft(LineDraft(desk.version(), START), **QUARTERLY.columns())


def test_it_is_due_from_its_notice_day_in_its_own_zone(desk: Desk) -> None:
    contract = quarter(desk, timezone="America/New_York")
    assert due(NOTICE) == []  # still the first of March there
    assert due(NOTICE + dt.timedelta(hours=5)) == [contract.pk]
    assert due(NOTICE + dt.timedelta(hours=5), customers=["nobody"]) == []


def test_it_renews_once(desk: Desk) -> None:
    contract = quarter(desk)
    assert renew_due(NOTICE - dt.timedelta(seconds=1)) == []
    assert Contract.objects.get().ends_on == APRIL
    assert renew_due(NOTICE, by="bill run") == [] == renew_due(NOTICE)
    contract.refresh_from_db()
    assert (contract.ends_on, contract.revision) == (JULY, 1)
    latest = contract.history.latest("history_id")
    assert (latest.history_date, latest.history_change_reason) == (NOTICE, "Renewed, as agreed (bill run)")
    assert spans(contract) == [("pro", START, APRIL, 0), ("pro", APRIL, None, 3)]


def test_a_late_run_renews_until_the_next_notice_day_lies_ahead(desk: Desk) -> None:
    contract = quarter(desk)
    renew_due(dt.datetime(2026, 8, 1, tzinfo=dt.UTC))
    contract.refresh_from_db()
    assert contract.ends_on == OCTOBER
    # 1.03 x 1.03 = 1.0609
    assert spans(contract) == [("pro", START, APRIL, 0), ("pro", APRIL, JULY, 3), ("pro", JULY, None, Decimal("6.09"))]


def test_what_is_cancelled_before_the_notice_day_does_not_renew(desk: Desk) -> None:
    others = [CustomerFactory(), CustomerFactory()]
    version = desk.version()
    turned_off, ended, early = (
        quarter(desk, LineDraft(version, START), number=f"C-{number}", customer=customer)
        for number, customer in enumerate([desk.customer, *others], 1)
    )
    amend(turned_off, renewal=Renewal(), at=AT)
    end(ended, APRIL, at=AT)
    end(early, dt.date(2026, 3, 15), at=AT)
    assert renew_due(dt.datetime(2026, 3, 31, tzinfo=dt.UTC)) == []
    assert [one.ends_on for one in Contract.objects.order_by("number")] == [APRIL, APRIL, dt.date(2026, 3, 15)]
    assert turned_off.revision == 0  # no term has changed
    assert ended.history.latest("history_id").renewal_auto is False


def test_an_extension_does_not_cancel_the_renewal(desk: Desk) -> None:
    contract = quarter(desk)
    end(contract, JULY, at=AT)
    assert contract.renewal_auto


def test_what_has_ended_cannot_be_told_to_renew(desk: Desk) -> None:
    contract = quarter(desk, renewal=Renewal())
    with pytest.raises(UnableToAmend, match=r"C-1 ended on 2026-04-01 and no longer renews; sign another"):
        amend(contract, renewal=QUARTERLY, at=dt.datetime(2026, 4, 1, tzinfo=dt.UTC))


def test_one_that_cannot_be_renewed_is_reported_and_costs_no_other(desk: Desk) -> None:
    version = desk.version()
    quarter(desk, LineDraft(version, START))
    desk.signed(LineDraft(version, APRIL), number="C-2", starts_on=APRIL)
    good = quarter(desk, LineDraft(version, START), number="C-3", customer=CustomerFactory())
    [failure] = bill_run.run(NOTICE).failures
    assert failure["contract"] == "C-1"
    assert "it cannot be renewed: lines[1].plan: the meter tokens is billed by contract C-2" in failure["error"]
    good.refresh_from_db()
    assert good.ends_on == JULY
    closed = PeriodClose.objects.order_by("contract__number", "starts_at").values_list("contract__number", flat=True)
    assert list(closed) == ["C-1", "C-1", "C-3", "C-3"]  # January and February, for both


def test_what_was_to_run_on_is_not_closed_as_if_it_had_only_ended(desk: Desk) -> None:
    version = desk.version()
    quarter(desk, LineDraft(version, START))
    desk.signed(LineDraft(version, APRIL), number="C-2", starts_on=APRIL)
    result = bill_run.run(dt.datetime(2026, 4, 5, tzinfo=dt.UTC))
    assert [failure["contract"] for failure in result.failures] == ["C-1"]
    assert not PeriodClose.objects.filter(contract__number="C-1").exists()


def test_a_fault_nobody_foresaw_costs_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    version = desk.version()
    bad = quarter(desk, LineDraft(version, START, quantity=Decimal(2)))
    good = quarter(desk, LineDraft(version, START), number="C-2", customer=CustomerFactory())
    original, wrong = lifecycle.extended, terms_of(bad)

    def broken(terms, before, until, uplift):  # type: ignore[no-untyped-def]
        if terms == wrong:
            raise RuntimeError("disk full")
        return original(terms, before, until, uplift)

    monkeypatch.setattr(lifecycle, "extended", broken)
    [failed] = renew_due(NOTICE)
    assert (failed.number, failed.error, failed.is_over) == ("C-1", "it cannot be renewed: disk full", False)
    good.refresh_from_db()
    assert good.ends_on == JULY


def test_a_dry_run_shows_what_renewing_would_bill_and_renews_nothing(desk: Desk) -> None:
    quarter(desk)
    april = dt.datetime(2026, 5, 3, tzinfo=dt.UTC)
    shown = bill_run.run(april, dry_run=True).invoices
    assert [one["total"] for one in shown] == ["30.00", "30.00", "30.00", "30.90"]
    assert Contract.objects.get().ends_on == APRIL


def test_many_are_renewed_in_as_many_queries_as_one(desk: Desk) -> None:
    version = desk.version()

    def due_ones(count: int) -> int:
        for _ in range(count):
            customer = CustomerFactory()
            quarter(desk, LineDraft(version, START), number=f"C-{customer.key}", customer=customer)
        with CaptureQueriesContext(connection) as queries:
            assert renew_due(NOTICE) == []
        return len(queries)

    assert due_ones(1) == due_ones(5)


def test_a_person_renews_and_the_history_says_who_and_why(desk: Desk) -> None:
    contract, ann = quarter(desk), User.objects.create(username="ann")
    renew(contract, at=AT, by=ann, reason="Signed by both")
    latest = contract.history.latest("history_id")
    assert (latest.history_user, latest.history_change_reason) == (ann, "Signed by both")
