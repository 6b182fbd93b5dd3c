"""The desk of sources: rules are written, moved and switched there, and records tried; each to who may."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from billing.admin.spans import read_span, rough_span, span_words
from billing.metering.rule_kinds import RuleTerms
from billing.metering.rulebook import Approval, keep_rule
from billing.models import Event, Source, SourceRule
from contracts.models import Customer
from tests.billing.metering.conftest import AT, acme, meter, send, source
from tests.factories import event

__all__ = ["acme", "meter", "source"]

pytestmark = pytest.mark.django_db(databases=["default", "quarantine"])


def person(name: str, *codenames: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


SEES = ("view_source", "view_sourcerule")


@pytest.fixture
def robin(db: None) -> Client:
    """Who keeps the rules."""
    return person(
        "robin", *SEES, "change_source", "add_sourcerule", "change_sourcerule", "view_heldrecord", "view_customer"
    )


@pytest.fixture
def arthur(db: None) -> Client:
    """Who reads, and changes nothing."""
    return person("arthur", *SEES)


def page(source: Source) -> str:
    return f"/admin/billing/source/{source.pk}/"


def keep(source: Source, **terms: Any) -> SourceRule:
    return keep_rule(source, RuleTerms(**terms), at=AT, by=None, reason="")


def form(source: Source, kind: str, **fields: str) -> dict[str, str]:
    return {"source": str(source.pk), "kind": kind, "number_format": "point", **fields}


def errors(answer: Any) -> dict[str, list[str]]:
    return {name: list(found) for name, found in answer.context["adminform"].form.errors.items()}


class TestWritingARule:
    ADD = "/admin/billing/sourcerule/add/"

    def test_leads_back_to_the_rules_of_its_source(self, source: Source, robin: Client) -> None:
        fields = form(
            source, "rename", field="data.tok", target="data.tokens", note="An old name", change_reason="Asked for"
        )
        answer = robin.post(self.ADD, fields)
        assert (answer.status_code, answer["Location"]) == (302, f"{page(source)}change/#rules")
        rule = SourceRule.objects.get()
        assert (rule.kind, rule.field, rule.to, rule.note) == ("rename", "data.tok", "data.tokens", "An old name")
        history = rule.history.get()  # type: ignore[attr-defined]
        assert (history.history_user.username, history.history_change_reason) == ("robin", "Asked for")

    @pytest.mark.parametrize(
        ("kind", "fields", "kept"),
        [
            ("strip_prefix", {"field": "subject", "affix": "org: "}, {"value": "org: "}),
            ("rewrite", {"field": "subject", "pattern": "a*", "result": "$1"}, {"value": "a*", "to": "$1"}),
            ("default", {"field": "data.n", "fill": "0"}, {"value": "0"}),
            ("map_type", {"sent": "a", "meant": "b"}, {"value": "a", "to": "b"}),
            ("number", {"field": "data.n", "number_format": "comma"}, {"number_format": "comma"}),
            ("hold", {"when_subjects": "a\n\n b* \n"}, {"when_subjects": ["a", "b*"]}),
            # What the inputs of other kinds hold is left out.
            ("trim", {"field": "subject", "target": "data.x", "factor": "2", "fill": "1"}, {"to": "", "factor": None}),
        ],
    )
    def test_takes_the_inputs_of_its_kind(
        self, source: Source, robin: Client, kind: str, fields: dict[str, str], kept: dict[str, Any]
    ) -> None:
        robin.post(self.ADD, form(source, kind, **fields))
        rule = SourceRule.objects.get()
        assert {name: getattr(rule, name) for name in kept} == kept

    def test_takes_times_as_utc(self, source: Source, robin: Client) -> None:
        robin.post(self.ADD, form(source, "hold", occurs_from_0="2026-02-01", occurs_from_1="06:30:00"))
        assert SourceRule.objects.get().occurs_from == dt.datetime(2026, 2, 1, 6, 30, tzinfo=dt.UTC)

    @pytest.mark.parametrize(
        ("kind", "fields", "wrong"),
        [
            ("convert", {"field": "ms", "factor": "0"},
             {"field": ["'ms' is no field; for a property of data write data.ms."],
              "factor": ["A factor of zero would make every value 0."]}),
            ("rename", {"field": "data.a"}, {"target": ["Say the new name of the field, such as data.tokens."]}),
            ("rewrite", {"field": "subject", "pattern": "a", "result": "$1"},
             {"result": ["$1 stands for a * that the pattern does not have."]}),
            ("convert", {"field": "data.ms", "factor": "fast"}, {"factor": ["Enter a number."]}),
            ("discard", {"when_type": "x"},
             {"kind": ["Select a valid choice. discard is not one of the available choices."]}),
        ],
    )  # fmt: skip
    def test_says_what_is_wrong_beside_the_input(
        self, source: Source, robin: Client, kind: str, fields: dict[str, str], wrong: dict[str, list[str]]
    ) -> None:
        assert errors(robin.post(self.ADD, form(source, kind, **fields))) == wrong
        assert not SourceRule.objects.exists()

    def test_says_what_another_rule_has_to_do_with_it(self, source: Source, robin: Client) -> None:
        keep(source, kind="rename", field="data.tok", to="data.tokens")
        found = errors(robin.post(self.ADD, form(source, "number", field="data.tok")))
        assert found == {"field": ["It could never apply: rule 1 has renamed data.tok to data.tokens before it."]}

    def test_begins_with_what_is_kept(self, source: Source, robin: Client) -> None:
        rule = keep(source, kind="rewrite", field="subject", value="a*", to="$1", when_subjects=("x", "y"))
        address = f"/admin/billing/sourcerule/{rule.pk}/change/"
        shown = robin.get(address).context["adminform"].form
        assert {name: shown[name].value() for name in ("kind", "field", "pattern", "result")} == {
            "kind": "rewrite", "field": "subject", "pattern": "a*", "result": "$1",
        }  # fmt: skip
        robin.post(address, form(source, "rewrite", field="subject", pattern="b*", result="$1", change_reason="typo"))
        rule.refresh_from_db()
        assert (rule.value, rule.when_subjects) == ("b*", [])
        assert rule.history.latest().history_change_reason == "typo"  # type: ignore[attr-defined]

    def test_is_for_who_may(self, source: Source, arthur: Client) -> None:
        rule = keep(source, kind="trim", field="subject")
        assert arthur.post(self.ADD, form(source, "trim", field="data.x")).status_code == 403
        assert arthur.get(f"/admin/billing/sourcerule/{rule.pk}/change/").status_code == 200
        assert arthur.post(f"/admin/billing/sourcerule/{rule.pk}/change/", form(source, "lower")).status_code == 403

    def test_nobody_deletes_one_or_edits_what_two_agreed_on(self, source: Source) -> None:
        boss = Client()
        boss.force_login(User.objects.create_superuser("boss"))
        terms = RuleTerms(kind="discard", when_subjects=("crawler",))
        rule = keep_rule(source, terms, at=AT, by=None, reason="", approval=Approval(7, "user:1", "user:2"))
        assert boss.post(f"/admin/billing/sourcerule/{rule.pk}/delete/", {"post": "yes"}).status_code == 403
        assert "Two persons agreed" in boss.get(f"/admin/billing/sourcerule/{rule.pk}/change/").content.decode()
        assert boss.post(f"/admin/billing/sourcerule/{rule.pk}/change/", form(source, "hold")).status_code == 403
        assert "delete_selected" not in boss.get("/admin/billing/sourcerule/").content.decode()


class TestTryingARuleBeforeItIsSaved:
    ADD = "/admin/billing/sourcerule/add/"

    def test_shows_what_it_would_do_with_a_record_and_with_what_is_held(
        self, acme: Customer, source: Source, robin: Client
    ) -> None:
        keep(source, kind="trim", field="subject")
        send(event("e1", "1,200"), event("e2", "1,300"), event("e3", subject="nobody"))
        pasted = msgspec.json.encode(event("e9", "7,000", subject=" acme")).decode()
        answer = robin.post(self.ADD, form(source, "number", field="data.tokens", record=pasted, _try="yes"))
        (trial,) = answer.context["trials"]
        assert trial["state"] == "Accepted" and [len(one["step"].changes) for one in trial["steps"]] == [1, 1]
        over_held = answer.context["over_held"]
        assert (over_held["tried"], over_held["changed"]) == (3, 2)
        first = over_held["groups"][0]
        assert (first["records"], first["state"]) == (2, "Accepted")
        assert "Nothing is saved" in answer.content.decode()
        assert SourceRule.objects.count() == 1 and not Event.objects.exists()

    def test_stands_in_for_the_rule_that_is_kept(self, acme: Customer, source: Source, robin: Client) -> None:
        rule = keep(source, kind="convert", field="data.tokens", factor=Decimal("0.001"))
        pasted = msgspec.json.encode(event("e9", 5)).decode()
        fields = form(source, "convert", field="data.tokens", factor="1000", record=pasted, _try="yes")
        answer = robin.post(f"/admin/billing/sourcerule/{rule.pk}/change/", fields)
        (trial,) = answer.context["trials"]
        assert [one.value for one in trial["additions"]] == ["5000"]
        rule.refresh_from_db()
        assert rule.factor == Decimal("0.001")

    def test_shows_its_faults_and_saves_nothing(self, source: Source, robin: Client) -> None:
        answer = robin.post(self.ADD, form(source, "trim", field="tokens", _try="yes"))
        assert "field" in errors(answer)
        assert not SourceRule.objects.exists()

    def test_is_for_who_may_write_rules(self, acme: Customer, source: Source, arthur: Client) -> None:
        assert arthur.post(self.ADD, form(source, "trim", field="subject", _try="yes")).status_code == 403

    def test_shows_nothing_held_to_who_may_not_see_it(self, acme: Customer, source: Source) -> None:
        send(event("e1", "many"))
        writer = person("wendy", *SEES, "add_sourcerule")
        answer = writer.post(self.ADD, form(source, "trim", field="subject", _try="yes"))
        assert answer.status_code == 200 and "over_held" not in answer.context


class TestThePageOfASource:
    def test_shows_its_rules_in_their_order_in_words(self, source: Source, robin: Client) -> None:
        keep(source, kind="trim", field="subject", note="They pad it")
        keep(source, kind="hold", when_field="data.agent", when_values=("*bot*",))
        shown = robin.get(f"{page(source)}change/").content.decode()
        for words in ("Trim blanks around subject", "They pad it", "where data.agent is “*bot*”", "Switch off"):
            assert words in shown

    def test_shows_no_buttons_to_who_may_not_use_them(self, source: Source, arthur: Client) -> None:
        keep(source, kind="trim", field="subject")
        shown = arthur.get(f"{page(source)}change/").content.decode()
        assert "Trim blanks around subject" in shown and "Try it" in shown
        assert "Switch off" not in shown and "Add a rule" not in shown

    def test_shows_no_rules_to_who_may_not_see_them(self, source: Source) -> None:
        keep(source, kind="trim", field="subject")
        outsider = person("eve", "view_source")
        assert "Trim blanks" not in outsider.get(f"{page(source)}change/").content.decode()
        assert outsider.get(f"{page(source)}try/").status_code == 403

    def test_moves_and_switches_rules(self, source: Source, robin: Client, arthur: Client) -> None:
        first, second = keep(source, kind="trim", field="subject"), keep(source, kind="lower", field="subject")
        address = f"{page(source)}rules/{second.pk}/"
        assert arthur.post(f"{address}move/", {"to": "up"}).status_code == 403
        assert arthur.post(f"{address}switch/", {"to": "off"}).status_code == 403
        assert robin.get(f"{address}move/").status_code == 405
        assert robin.post(f"{address}move/", {"to": "up"})["Location"] == f"{page(source)}change/#rules"
        assert list(SourceRule.objects.values_list("pk", flat=True)) == [second.pk, first.pk]
        robin.post(f"{address}switch/", {"to": "off"})
        second.refresh_from_db()
        assert not second.is_active
        assert second.history.latest().history_change_reason == "Switched off"  # type: ignore[attr-defined]

    def test_says_why_a_rule_cannot_be_moved(self, source: Source, robin: Client) -> None:
        keep(source, kind="number", field="data.tok")
        rename = keep(source, kind="rename", field="data.tok", to="data.tokens")
        answer = robin.post(f"{page(source)}rules/{rename.pk}/move/", {"to": "up"}, follow=True)
        (said,) = [str(message) for message in answer.context["messages"]]
        assert said.startswith("Not moved. It could never apply: rule 1 has renamed data.tok")

    def test_a_rule_of_another_source_is_not_found_there(self, source: Source, robin: Client) -> None:
        rule = keep(source, kind="trim", field="subject")
        other = Source.objects.create(key="other")
        assert robin.post(f"{page(other)}rules/{rule.pk}/switch/", {"to": "off"}).status_code == 404

    def test_takes_stretches_of_time_as_they_are_written(self, source: Source, robin: Client) -> None:
        fields = {"name": "Gateway", "cadence": "1 d 12 h", "tolerance_window": "", "clock_skew": "5 min"}
        robin.post(f"{page(source)}change/", fields)
        source.refresh_from_db()
        assert source.cadence == dt.timedelta(hours=36) and source.tolerance_window is None
        found = errors(robin.post(f"{page(source)}change/", {**fields, "cadence": "often", "clock_skew": ""}))
        assert found["cadence"] == ["Write a stretch of time such as 24 h, 90 min or 1 d 12 h."]
        assert found["clock_skew"] == ["This field is required."]

    def test_a_source_that_reported_is_not_deleted(self, acme: Customer) -> None:
        boss = Client()
        boss.force_login(User.objects.create_superuser("boss"))
        send(event("e1"))
        address = f"{page(Source.objects.get())}delete/"
        assert boss.post(address, {"post": "yes"}).status_code == 403
        assert (
            boss.post(
                f"/admin/billing/source/{Source.objects.create(key='new').pk}/delete/", {"post": "yes"}
            ).status_code
            == 302
        )


class TestTheList:
    def test_says_who_is_silent(self, acme: Customer, robin: Client) -> None:
        Source.objects.update(cadence=dt.timedelta(hours=1))
        assert ">never<" in robin.get("/admin/billing/source/").content.decode()
        now = dt.datetime.now(dt.UTC)
        send(event("e1"), at=now - dt.timedelta(minutes=10))
        shown = robin.get("/admin/billing/source/").content.decode()
        assert "10 min ago" in shown and "too long" not in shown
        Source.objects.update(cadence=dt.timedelta(minutes=2))
        assert "silent for 8 min too long" in robin.get("/admin/billing/source/").content.decode()


class TestTrying:
    def test_shows_each_step_and_what_would_be_counted(self, acme: Customer, source: Source, robin: Client) -> None:
        keep(source, kind="number", field="data.tokens")
        pasted = msgspec.json.encode(event("e1", "1,200")).decode()
        shown = robin.post(f"{page(source)}try/", {"record": pasted}).content.decode()
        for words in (
            "Read data.tokens as a number",
            "&quot;1,200&quot;",
            "1200",
            "It would be accepted.",
            "Acme",
            "tokens",
        ):
            assert words in shown
        assert not Event.objects.exists()

    def test_names_no_customer_to_who_may_not_see_them(self, acme: Customer, source: Source, arthur: Client) -> None:
        pasted = msgspec.json.encode(event("e1")).decode()
        shown = arthur.post(f"{page(source)}try/", {"record": pasted}).content.decode()
        assert "It would be accepted." in shown and acme.name not in shown

    def test_says_what_is_wrong_with_what_was_pasted(self, source: Source, robin: Client) -> None:
        shown = robin.post(f"{page(source)}try/", {"record": '{"id": <b>}'}).content.decode()
        assert "This is not JSON: invalid character (line 1, column 8)." in shown
        assert "<b>" not in shown and "&lt;b&gt;" in shown

    def test_begins_with_a_record_a_meter_would_count(self, acme: Customer, source: Source, robin: Client) -> None:
        pasted = robin.get(f"{page(source)}try/").context["pasted"]
        assert msgspec.json.decode(pasted)["data"] == {"tokens": 1}

    def test_goes_over_what_is_held(self, acme: Customer, source: Source, robin: Client, arthur: Client) -> None:
        send(event("e1", "1,200"), event("e2", subject="nobody"))
        keep(source, kind="number", field="data.tokens")
        answer = robin.get(f"{page(source)}try-held/")
        over_held = answer.context["over_held"]
        assert {total["state"]: total["records"] for total in over_held["totals"]} == {
            "Accepted": 1, "Unknown customer": 1,
        }  # fmt: skip
        assert [(group["reason"], group["subject"], group["records"]) for group in over_held["groups"]] == [
            ("Value not usable", "acme", 1), ("Unknown customer", "nobody", 1),
        ]  # fmt: skip
        assert not Event.objects.exists()
        assert arthur.get(f"{page(source)}try-held/").status_code == 403
        assert "Nothing is held" in robin.get(f"{page(Source.objects.create(key='x'))}try-held/").content.decode()


@pytest.mark.parametrize(
    ("text", "span", "words"),
    [
        ("24h", dt.timedelta(days=1), "1 d"),
        ("90 minutes", dt.timedelta(minutes=90), "1 h 30 min"),
        ("1 week", dt.timedelta(days=7), "7 d"),
        ("30s", dt.timedelta(seconds=30), "30 s"),
        ("00:05:00", dt.timedelta(minutes=5), "5 min"),
        ("0 s", dt.timedelta(), "0 s"),
    ],
)
def test_stretches_of_time_are_read_and_said(text: str, span: dt.timedelta, words: str) -> None:
    assert read_span(text) == span
    assert span_words(span) == words
    assert read_span(words) == span


@pytest.mark.parametrize("text", ["often", "5", "h", "5 parsecs", "-1 h", "1.5h", "5 min ago"])
def test_other_texts_are_no_stretches_of_time(text: str) -> None:
    assert read_span(text) is None


def test_a_rough_stretch_is_in_its_largest_unit() -> None:
    assert [rough_span(dt.timedelta(minutes=n)) for n in (0, 5, 125, 3000)] == ["0 s", "5 min", "2 h", "2 d"]
