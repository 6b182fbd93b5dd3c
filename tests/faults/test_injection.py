"""Text that is SQL, a template, a script or a formula, in every text column there is: it is shown, and it is only text.

The sample company is made, then every column of free text is overwritten behind the product's back, and every page of
the console, every document and every export is read.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connections, models
from django.test import Client
from psycopg import sql

from billing.models import Event, HeldRecord, Invoice
from revops.api.keys import create_key
from revops.databases import ALIASES, alias_of
from revops.demo import people
from revops.demo.months import Months
from revops.demo.story import Story
from revops.embedded.launcher import Cluster
from revops.models import Scope
from revops.simulation.databases import throw_away_databases
from tests.revops.test_demo import QUIET

NOW = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
MARK = "zqx7"

# The first letters must do it: columns are as short as 16.
PAYLOADS = [
    f"<i onx={MARK}>",
    f"\"'><i onx={MARK}><script>{MARK}()</script>",
    f"={MARK}|'/c calc'!A1",
    f"{{{{ 7*7 }}}}{MARK}{{% debug %}}",
    f"'+{MARK}()+'",
    f"'; DROP TABLE billing_event; -- {MARK}",
    f"</script><script>{MARK}()//",
    f"javascript:{MARK}()",
    f"${{{MARK}()}}",
    f"@{MARK}",
    f"%s%(x)s{{0}}{MARK}",
]

# What a program reads, not a person: these columns hold words of ours, or addresses of other rows.
READ_BY_PROGRAMS = {
    "timezone", "currency", "country", "password", "secret_hash", "prefix", "session_key", "session_data", "app_label",
    "model", "codename", "name_of_field", "func", "hook", "cron", "cluster", "payload", "event_type", "value",
    "starts_at", "entry_key", "tax_key", "term", "group", "data", "scopes", "lock", "args", "kwargs", "email",
}  # fmt: skip
OF_OTHERS = {"django_q", "contenttypes", "sessions", "auth", "admin", "migrations"}


def is_free_text(field: Any) -> bool:
    return (
        isinstance(field, models.CharField | models.TextField)
        and not field.choices
        and not field.primary_key
        and not field.is_relation
        and field.name not in READ_BY_PROGRAMS
        and (field.max_length or 10**6) >= 16
    )


def poison(cluster: Cluster) -> Counter[str]:
    """Overwrite every column of free text, as a superuser whom no trigger stops; returns how many values by table."""
    done: Counter[str] = Counter()
    for alias in ALIASES:
        name = str(connections[alias].settings_dict["NAME"])
        with cluster.connect_as_superuser(name) as server:
            disable_triggers(server)
            for model in apps.get_models(include_auto_created=True):
                if alias_of(model._meta.app_label) != alias or model._meta.app_label in OF_OTHERS:
                    continue
                for place, field in enumerate(filter(is_free_text, model._meta.local_fields)):
                    done[model._meta.db_table] += poison_column(server, model, field, place)
    return done


def disable_triggers(server: Any) -> None:
    """No session can do without them; the owner of a table can."""
    tables = server.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    ).fetchall()
    for (table,) in tables:
        server.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER ALL").format(sql.Identifier(table)))


def poison_column(server: Any, model: type[models.Model], field: Any, place: int) -> int:
    """Each row gets another payload, and its own number where values must differ."""
    table, column = model._meta.db_table, field.column
    ours = (
        PAYLOADS if (field.max_length or 1000) >= 60 else [one for one in PAYLOADS if len(one) < field.max_length - 6]
    )
    statement = sql.SQL(
        "UPDATE {table} SET {column} = (%(payloads)s::text[])[1 + mod(row.n + %(place)s, %(count)s)]"
        " || CASE WHEN %(numbered)s THEN row.n::text ELSE '' END"
        " FROM (SELECT tableoid AS part, ctid AS place, row_number() OVER () AS n FROM {table}) row"
        " WHERE {table}.tableoid = row.part AND {table}.ctid = row.place AND {column} <> ''"
    ).format(table=sql.Identifier(table), column=sql.Identifier(column))
    numbered = field.unique or any(field.name in part for part in names_that_must_differ(model))
    given = {"payloads": ours, "place": place, "count": len(ours), "numbered": numbered}
    return int(server.execute(statement, given).rowcount)


def names_that_must_differ(model: type[models.Model]) -> list[Any]:
    constraints = [one.fields for one in model._meta.constraints if isinstance(one, models.UniqueConstraint)]
    return [*constraints, *model._meta.unique_together]


@pytest.fixture(scope="module", autouse=True)
def poisoned(cluster: Cluster, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The company in databases of its own, which go with it."""
    with django_db_blocker.unblock(), throw_away_databases():
        Story(Months.before(NOW), NOW, people.employ(people.Note()), QUIET).play(lambda arrived: None)
        assert_everything_is_poisoned(poison(cluster))
        yield


def assert_everything_is_poisoned(done: Counter[str]) -> None:
    for table in ("contracts_customer", "catalog_plan", "billing_invoice", "billing_invoiceline", "billing_event",
                  "quarantine_heldrecord", "billing_correction", "contracts_historicalcustomer"):  # fmt: skip
        assert done[table] > 0, table


class Inspector(HTMLParser):
    """Finds a payload where a browser would run it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.links: list[str] = []
        self.inside_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        for name, value in given.items():
            runs = name.startswith(("on", "x-", "@", ":", "hx-")) or name == "srcdoc"
            address = name in ("href", "src", "action", "formaction") and value.strip().lower().startswith(
                "javascript:"
            )
            if MARK in name or (MARK in value and (runs or address)):
                self.found.append(f"<{tag} {name}={value[:120]!r}>")
        self.inside_script = tag == "script" and given.get("type", "text/javascript") not in ("application/json",)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])

    def handle_endtag(self, tag: str) -> None:
        self.inside_script = False

    def handle_data(self, data: str) -> None:
        if self.inside_script and MARK in data:
            self.found.append(f"<script>{data[:200]!r}")


def inspect(page: str, where: str) -> list[str]:
    """The links of a page in which no payload runs."""
    inspector = Inspector()
    inspector.feed(page)
    assert not inspector.found, f"{where} runs what somebody wrote: {inspector.found[:3]}"
    assert "49" + MARK not in page, f"{where} evaluates a template that somebody wrote"
    return inspector.links


THOROUGH = bool(os.environ.get("THOROUGH"))  # more pages of each kind, every payload in every search
MOST_OF_A_KIND = 3 if THOROUGH else 1
LEFT_ALONE = ("/admin/logout", "/admin/jsi18n", "/static/", "/admin/password_change")


def pages(client: Client) -> Iterator[tuple[str, Any]]:
    """Every page of the console that links lead to, a few of each kind."""
    waiting = ["/admin/"]
    waiting += [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in apps.get_models()]
    seen: set[str] = set()
    kinds: Counter[str] = Counter()
    while waiting:
        address = waiting.pop(0).partition("#")[0]
        kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "N", address.partition("?")[0]) + "?" * ("?" in address)
        if address in seen or kinds[kind] >= MOST_OF_A_KIND or address.startswith(LEFT_ALONE):
            continue
        seen.add(address)
        answer = client.get(address)
        assert answer.status_code < 500, address
        if answer.status_code in (301, 302):
            waiting.append(answer["Location"])
        if answer.status_code != 200:
            continue
        kinds[kind] += 1
        if answer["Content-Type"].startswith("text/html"):
            found = inspect(answer.content.decode(), address)
            base = address.partition("?")[0]
            waiting += [link if link.startswith("/") else base + link for link in found if is_ours(link)]
        yield address, answer


def is_ours(link: str) -> bool:
    return link.startswith(("/admin", "?")) or not re.match(r"[a-z]+:|/|#|\.\.", link)


def test_every_page_of_the_console_shows_it_as_text() -> None:
    User.objects.create_superuser(f"<i onx={MARK}>", "boss@example.com", "x", first_name=PAYLOADS[1][:50])
    client = Client()
    client.force_login(User.objects.get(username__contains=MARK))
    events = Event.objects.count()
    visited: Counter[str] = Counter()
    shown = 0
    for address, answer in pages(client):
        visited[address.split("/")[2]] += 1
        if answer["Content-Type"].startswith("text/html"):
            shown += MARK in answer.content.decode()
        elif answer["Content-Type"].startswith("text/csv"):
            assert_no_formulas(b"".join(answer.streaming_content).decode("utf-8-sig"), address)
            visited["csv"] += 1
    assert visited["billing"] > 20
    assert visited["contracts"] > 5
    assert visited["catalog"] > 10
    assert shown > 40
    assert Event.objects.count() == events


def assert_no_formulas(text: str, where: str) -> None:
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            number = re.fullmatch(r"-\d+(\.\d+)?", cell)
            assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), f"{where}: {cell[:60]!r}"


ODDITIES = ["%", "_", "\\", "\x00", "'", '"', "(", "[", "*", "?" * 500]


def test_searches_and_filters_take_it_as_text() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    every = itertools.cycle([*PAYLOADS, *ODDITIES])
    asked = 0
    for model in apps.get_models():
        address = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for payload in itertools.islice(every, len(PAYLOADS + ODDITIES) if THOROUGH else 2):
            answer = client.get(address, {"q": payload, "o": payload[:5], "p": payload[:3]})
            assert answer.status_code < 500, (address, payload)
            if answer.status_code == 404:
                break
            asked += 1
            if answer.status_code == 200:
                inspect(answer.content.decode(), address)
    assert asked > 40


def test_documents_and_the_api_show_it_as_text() -> None:
    secret = create_key("x", Scope.values, at=NOW)[1]
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    assert Invoice.objects.exists()
    for invoice in Invoice.objects.all()[:5]:
        answer = client.get(f"/api/v1/invoices/{invoice.pk}/document")
        page = answer.content.decode()
        assert answer.status_code == 200
        assert MARK in page
        inspect(page, "the document")
    for path in (
        "invoices",
        "events",
        "customers",
        "contracts",
        "plans",
        "meters",
        "sources",
        "features",
        "quarantine",
    ):
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code in (200, 404), path
        if answer.status_code == 200:
            assert answer["Content-Type"] == "application/json"
            assert answer["X-Content-Type-Options"] == "nosniff"
    assert HeldRecord.objects.exists()
