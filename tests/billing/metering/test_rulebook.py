"""Keeping rules: added, changed, moved, switched, replaced, never deleted; and what the database refuses of them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, connections, transaction

from billing.metering.directory import directory_version
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import (
    Approval,
    UnableToKeepRule,
    change_rule,
    keep_rule,
    move_rule,
    problems,
    replace_rules,
    rules_of,
    switch_rule,
)
from billing.models import OriginalEvent, Source, SourceRule
from contracts.models import Customer
from tests.billing.metering.conftest import AT, send
from tests.billing.metering.test_refusals import refused
from tests.factories import SourceFactory, event

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])

TRIM = RuleTerms(kind="trim", field="subject")
LOWER = RuleTerms(kind="lower", field="subject")
RENAME = RuleTerms(kind="rename", field="data.tok", to="data.tokens")
NUMBER = RuleTerms(kind="number", field="data.tok")
DISCARD = RuleTerms(kind="discard", when_subjects=("crawler",))
AGREED = Approval(7, "user:1", "user:2")


def keep(source: Source, terms: RuleTerms, **options: Any) -> SourceRule:
    return keep_rule(source, terms, **{"at": AT, "by": None, "reason": "", **options})


def kinds(source: Source) -> list[str]:
    return [terms.kind for terms in rules_of(source) if terms.is_active]


def refusal(of: Any) -> list[tuple[str, str]]:
    with pytest.raises(UnableToKeepRule) as unable, transaction.atomic():
        of()
    return [(error.path, error.code) for error in unable.value.errors]


class TestKeeping:
    def test_adds_a_rule_after_the_others_with_who_when_and_why(self, source: Source) -> None:
        ada = User.objects.create_user("ada")
        keep(source, TRIM)
        rule = keep(source, LOWER, by=ada, reason="They shout", note="Names come in capitals")
        assert (rule.position, rule.note, kinds(source)) == (2, "Names come in capitals", ["trim", "lower"])
        history = rule.history.get()  # type: ignore[attr-defined]
        assert (history.history_user, history.history_date, history.history_change_reason) == (ada, AT, "They shout")

    def test_refuses_what_could_not_work(self, source: Source) -> None:
        keep(source, RENAME)
        assert refusal(lambda: keep(source, RuleTerms(kind="trim", field="tokens"))) == [("field", "invalid")]
        assert refusal(lambda: keep(source, NUMBER)) == [("field", "never_applies")]
        assert kinds(source) == ["rename"]

    def test_says_beforehand_what_is_in_the_way(self, source: Source) -> None:
        keep(source, RENAME)
        (found,) = problems(source, NUMBER)
        assert (found.path, found.detail) == (
            "field", "it could never apply: rule 1 has renamed data.tok to data.tokens before it",
        )  # fmt: skip
        assert problems(source, TRIM) == [] and kinds(source) == ["rename"]

    def test_changes_the_version_by_which_batches_are_labelled(self, source: Source) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("UPDATE watertight_directory SET changed_by = NULL")
        before = directory_version()
        keep(source, TRIM)
        assert directory_version() != before


class TestADiscard:
    def test_needs_an_approved_proposal_of_two_persons(self, source: Source) -> None:
        assert refusal(lambda: keep(source, DISCARD)) == [("kind", "not_allowed")]
        alone = Approval(7, "user:1", "user:1")
        assert refusal(lambda: keep(source, DISCARD, approval=alone)) == [("kind", "not_allowed")]
        rule = keep(source, DISCARD, approval=AGREED)
        assert (rule.proposal, rule.proposed_by, rule.approved_by) == (7, "user:1", "user:2")

    def test_is_made_once_for_a_proposal(self, source: Source) -> None:
        first = keep(source, DISCARD, approval=AGREED)
        assert keep(source, DISCARD, approval=AGREED) == first
        assert SourceRule.objects.count() == 1

    def test_is_switched_off_and_on_and_never_changed(self, source: Source) -> None:
        rule = keep(source, DISCARD, approval=AGREED)
        wider = RuleTerms(kind="discard", when_subjects=("*",))
        assert refusal(lambda: change_rule(rule, wider, at=AT, by=None, reason="")) == [("kind", "frozen")]
        switch_rule(rule, False, at=AT, by=None, reason="not now")
        assert kinds(source) == []
        switch_rule(rule, True, at=AT, by=None, reason="now")
        assert kinds(source) == ["discard"]

    def test_is_not_widened_by_a_rule_before_it(self, source: Source) -> None:
        """What writes the field it looks at stays after it; what was there when it was agreed on stays before it."""
        trim = keep(source, TRIM)
        agreed = keep(source, DISCARD, approval=AGREED)
        aimed = RuleTerms(kind="rewrite", field="subject", value="acme", to="crawler")
        later = keep(source, aimed)
        assert refusal(lambda: move_rule(later, -1, at=AT, by=None, reason="")) == [("1.kind", "widens_discard")]
        assert refusal(lambda: move_rule(agreed, 1, at=AT, by=None, reason="")) == [("1.kind", "widens_discard")]
        assert refusal(lambda: change_rule(trim, LOWER, at=AT, by=None, reason="")) == [("kind", "widens_discard")]
        assert refusal(lambda: replace_rules(source, [aimed], at=AT, by=None, reason="")) == [
            ("0.kind", "widens_discard")
        ]
        replace_rules(source, [TRIM, RENAME], at=AT, by=None, reason="")
        assert kinds(source) == ["trim", "rename", "discard"]

    def test_is_not_switched_on_again_among_other_rules(self, source: Source) -> None:
        keep(source, TRIM)
        rule = keep(source, DISCARD, approval=AGREED)
        switch_rule(rule, False, at=AT, by=None, reason="")
        switch_rule(rule, True, at=AT, by=None, reason="as it was")
        switch_rule(rule, False, at=AT, by=None, reason="")
        lower = keep(source, LOWER, at=AT + dt.timedelta(hours=1))
        move_rule(lower, -1, at=AT + dt.timedelta(hours=2), by=None, reason="")
        assert refusal(lambda: switch_rule(rule, True, at=AT, by=None, reason="")) == [("kind", "widens_discard")]
        switch_rule(lower, False, at=AT, by=None, reason="")
        switch_rule(rule, True, at=AT, by=None, reason="")
        assert kinds(source) == ["trim", "discard"]

    def test_is_not_made_of_another_rule(self, source: Source) -> None:
        rule = keep(source, TRIM)
        assert refusal(lambda: change_rule(rule, DISCARD, at=AT, by=None, reason="")) == [("kind", "not_allowed")]


class TestChanging:
    def test_says_something_else_from_now_on_in_the_same_place(self, source: Source) -> None:
        rule = keep(source, TRIM)
        keep(source, LOWER)
        change_rule(rule, RENAME, at=AT, by=None, reason="was wrong")
        assert kinds(source) == ["rename", "lower"]
        assert [row.kind for row in rule.history.order_by("history_id")] == ["trim", "rename"]  # type: ignore[attr-defined]

    def test_refuses_what_would_get_in_the_way_of_a_later_rule(self, source: Source) -> None:
        rule = keep(source, TRIM)
        keep(source, NUMBER)
        with pytest.raises(UnableToKeepRule, match="rule 2: it could never apply: rule 1 has renamed"):
            change_rule(rule, RENAME, at=AT, by=None, reason="")

    def test_switching_on_is_checked_as_well(self, source: Source) -> None:
        rule = keep(source, NUMBER)
        switch_rule(rule, False, at=AT, by=None, reason="")
        keep(source, RENAME)
        move_rule(rule, 5, at=AT, by=None, reason="")
        assert refusal(lambda: switch_rule(rule, True, at=AT, by=None, reason="")) == [("field", "never_applies")]


class TestMoving:
    def test_goes_as_far_as_there_are_places(self, source: Source) -> None:
        first, second, third = keep(source, TRIM), keep(source, LOWER), keep(source, NUMBER)
        move_rule(third, -2, at=AT, by=None, reason="first")
        assert kinds(source) == ["number", "trim", "lower"]
        move_rule(first, 9, at=AT, by=None, reason="last")
        move_rule(second, -1, at=AT, by=None, reason="first")
        assert kinds(source) == ["lower", "number", "trim"]
        assert sorted(SourceRule.objects.values_list("position", flat=True)) == [1, 2, 3]

    def test_writes_a_history_of_those_that_moved_alone(self, source: Source) -> None:
        rules = [keep(source, terms) for terms in (TRIM, LOWER, NUMBER)]
        move_rule(rules[2], -1, at=AT, by=None, reason="earlier")
        assert [rule.history.count() for rule in rules] == [1, 2, 2]  # type: ignore[attr-defined]

    def test_refuses_an_order_in_which_a_rule_could_never_apply(self, source: Source) -> None:
        keep(source, NUMBER)
        rename = keep(source, RENAME)
        assert refusal(lambda: move_rule(rename, -1, at=AT, by=None, reason="")) == [("1.field", "never_applies")]
        assert kinds(source) == ["number", "rename"]


class TestReplacing:
    def test_keeps_rows_that_say_the_same(self, source: Source) -> None:
        trim, lower = keep(source, TRIM), keep(source, LOWER)
        order = replace_rules(source, [LOWER, RENAME], at=AT, by=None, reason="a file")
        assert kinds(source) == ["lower", "rename"]
        assert order[0].pk == lower.pk
        trim.refresh_from_db()
        assert (trim.is_active, trim.position) == (False, 3)

    def test_refuses_all_of_it_where_one_could_not_work(self, source: Source) -> None:
        keep(source, TRIM)
        bad = RuleTerms(kind="convert", field="data.ms", factor=Decimal(0))
        assert refusal(lambda: replace_rules(source, [LOWER, bad], at=AT, by=None, reason="")) == [
            ("1.factor", "invalid")
        ]
        assert refusal(lambda: replace_rules(source, [DISCARD], at=AT, by=None, reason="")) == [
            ("0.kind", "not_allowed")
        ]
        assert kinds(source) == ["trim"]


@pytest.mark.sql
class TestTheDatabaseRefuses:
    def test_deleting_a_rule(self, source: Source) -> None:
        keep(source, TRIM)
        refused("DELETE FROM billing_sourcerule", "default", IntegrityError, "switch it off")
        with pytest.raises(IntegrityError, match="switch it off"), transaction.atomic():
            SourceRule.objects.all().delete()

    def test_a_discard_without_two_persons(self, source: Source) -> None:
        keep(source, TRIM)
        columns = (
            'source_id, position, kind, field, value, "to", number_format, when_type, when_subjects, when_field, '
            "when_values, when_ignores_case, is_active, note"
        )
        values = "source_id, 9, 'discard', '', '', '', 'point', 'x', '{}', '', '{}', false, true, ''"
        for persons in ("NULL, '', ''", "7, 'user:1', ''", "7, 'user:1', 'user:1'", "NULL, 'user:1', 'user:2'"):
            refused(
                f"INSERT INTO billing_sourcerule ({columns}, proposal, proposed_by, approved_by) "
                f"SELECT {values}, {persons} FROM billing_sourcerule",
                "default", IntegrityError, "discard_rule_has_two_persons",
            )  # fmt: skip

    def test_changing_what_is_discarded(self, source: Source) -> None:
        keep(source, DISCARD, approval=AGREED)
        keep(source, TRIM)
        for change in ("when_subjects = '{*}'", "kind = 'hold'", "approved_by = 'user:3'", "source_id = source_id + 1"):
            refused(
                f"UPDATE billing_sourcerule SET {change} WHERE kind = 'discard'",
                "default", IntegrityError, "two persons have agreed",
            )  # fmt: skip
        made = "kind = 'discard', proposal = 1, proposed_by = 'a', approved_by = 'b', when_type = 'x'"
        refused(f"UPDATE billing_sourcerule SET {made} WHERE kind = 'trim'", "default", IntegrityError, "two persons")

    def test_two_rules_in_one_place_and_a_factor_of_zero(self, source: Source) -> None:
        keep(source, TRIM)
        keep(source, LOWER)
        with pytest.raises(IntegrityError, match="rule_position"), transaction.atomic():
            SourceRule.objects.update(position=1)
            connection.check_constraints()
        with pytest.raises(IntegrityError, match="rule_factor_is_not_zero"), transaction.atomic():
            SourceRule.objects.update(factor=0)

    def test_changing_what_came(self, acme: Customer) -> None:
        keep(Source.objects.get(), TRIM)
        send(event("e1", subject=" acme"))
        assert OriginalEvent.objects.count() == 1
        refused("UPDATE billing_originalevent SET data = '{}'", "default")
        with connections["default"].cursor() as cursor:
            for statement in ("UPDATE billing_originalevent SET data = '{}'", "DELETE FROM billing_originalevent"):
                with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
                    cursor.execute(statement)


@pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])
def test_two_at_once_take_two_places() -> None:
    source = SourceFactory.create()

    def add(field: str) -> None:
        try:
            keep(source, RuleTerms(kind="trim", field=field))
        finally:
            connections.close_all()

    threads = [Thread(target=add, args=(f"data.f{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(SourceRule.objects.values_list("position", flat=True)) == [1, 2, 3, 4]


def test_times_of_conditions_are_kept(source: Source) -> None:
    day = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    keep(source, RuleTerms(kind="hold", occurs_from=day, occurs_until=day + dt.timedelta(days=1)))
    (terms,) = rules_of(source)
    assert (terms.occurs_from, terms.occurs_until) == (day, day + dt.timedelta(days=1))
