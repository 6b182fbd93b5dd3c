"""A small company behind the real web server, and Debian's Chromium before it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django import DjangoDbBlocker

from revops.roles import AUDITOR, FINANCE, REVOPS
from revops.serving import current_names, environment_for, free_port, start_server, wait_until_healthy
from revops.simulation.databases import throw_away_databases
from revops.simulation.playing import perform, read_scenario

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Nothing but what was asked for leaves the browser.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "not a secret, a test"
PEOPLE = {"robin": REVOPS, "fiona": FINANCE, "arthur": AUDITOR}
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def scenario() -> dict[str, Any]:
    """Acme pays 0.01 a word, in periods of a day from yesterday on.

    It used 1,000 words yesterday, which is drafted, and 500 today. Ten records of 30 words each came today under a
    name that is almost one of its own.
    """
    midnight = NOW.replace(hour=0, minute=0, second=0)
    today = max(midnight, NOW - dt.timedelta(seconds=2))
    yesterday = midnight - dt.timedelta(days=1)
    begins = yesterday.date().isoformat()

    def event(id: str, subject: str, words: int, time: dt.datetime) -> dict[str, Any]:
        said = {"id": id, "source": "gateway", "type": "text.translated", "subject": subject}
        return said | {"time": time.isoformat(), "data": {"words": words}}

    strangers = [event(f"s{number}", "acme-prodd", 30, today) for number in range(10)]
    return {
        "currency": "USD",
        "tolerance_window": "0h",
        "seller": {"key": "main", "name": "Watertight Inc", "review_drafts": True},
        "sources": [{"key": "gateway"}],
        "meters": [{"key": "words", "event_type": "text.translated", "aggregation": "sum", "value": "words"}],
        "plans": [
            {
                "key": "translate",
                "interval": "day",
                "versions": [
                    {
                        "prices": [
                            {"key": "words", "kind": "usage", "meter": "words", "name": "Words", "model": "per_unit",
                             "unit_amount": "0.01"}
                        ]
                    }
                ],
            }
        ],
        "customers": [{"key": "acme", "name": "Acme Corp", "subjects": ["acme-prod"]}],
        "contracts": [
            {"number": "A-1", "customer": "acme", "starts_on": begins, "lines": [{"plan": "translate"}]}
        ],
        "steps": [
            {"at": yesterday.isoformat(), "events": [event("a1", "acme-prod", 1000, yesterday)]},
            {"at": midnight.isoformat(), "bill_run": True},
            {"at": NOW.isoformat(), "events": [event("a2", "acme-prod", 500, today), *strangers]},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def address(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Where the company's console is served."""
    if CHROMIUM is None:
        pytest.skip("browser tests need Chromium: apt-get install chromium")
    with django_db_blocker.unblock(), throw_away_databases():
        perform(read_scenario(scenario()))
        for name, role in PEOPLE.items():
            user = User.objects.create_user(name, password=PASSWORD, is_staff=True, first_name=name.title())
            user.groups.add(Group.objects.get(name=role))
        port = free_port()
        server = start_server(port, environment_for(current_names()), workers=1)
        try:
            wait_until_healthy(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="module")
def chromium(address: str) -> Iterator[Browser]:
    # The browser's driver runs a loop in this thread; the ORM is not used from it.
    with mock.patch.dict(os.environ, {"DJANGO_ALLOW_ASYNC_UNSAFE": "1"}), sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@dataclass
class Desk:
    """A signed-in person's window."""

    page: Page
    address: str
    outside: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        answer = self.page.goto(self.address + path)
        assert answer is not None and answer.ok, f"{path} answered {answer and answer.status}"
        return self.page


SignIn = Callable[[str], Desk]


@pytest.fixture
def sign_in(chromium: Browser, address: str) -> Iterator[SignIn]:
    """Sign in as one of PEOPLE. At the end no page has asked another host for anything, or failed in the browser."""
    desks: list[Desk] = []

    def enter(name: str) -> Desk:
        page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
        desk = Desk(page, address)
        page.on("request", lambda asked: desk.outside.append(asked.url) if is_outside(asked.url, address) else None)
        page.on("pageerror", lambda error: desk.faults.append(str(error)))
        page.goto(f"{address}/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{address}/admin/")
        desks.append(desk)
        return desk

    yield enter
    for desk in desks:
        assert desk.outside == []
        assert desk.faults == []
        desk.page.context.close()


def is_outside(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))
