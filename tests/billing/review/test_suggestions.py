"""What an unknown subject or type was probably meant to be."""

from __future__ import annotations

import pytest

from billing.review.suggestions import LIKELY, Name, Names, best_customers, closest_types

NAMES = Names(
    [
        Name("helios-robotics", "subject", "helios", "Helios Robotics"),
        Name("helios", "key", "helios", "Helios Robotics"),
        Name("Helios Robotics", "name", "helios", "Helios Robotics"),
        Name("acme", "key", "acme", "Acme GmbH"),
        Name("Acme GmbH", "name", "acme", "Acme GmbH"),
        Name("66.249.73.135", "subject", "crawl", "Crawl Inc"),
        Name("crawl", "key", "crawl", "Crawl Inc"),
    ]
)


@pytest.mark.parametrize(
    ("subject", "customer", "why"),
    [
        ("helios-robotcs", "helios", "nearly the same letters as its subject helios-robotics"),
        ("HELIOS_ROBOTICS", "helios", "nearly the same letters as its subject helios-robotics"),
        ("acme-emea", "acme", "shares acme with its key acme"),
        ("emea/acme", "acme", "shares acme with its key acme"),
    ],
)
def test_a_subject_is_like_one_that_is_known_by_its_letters_or_a_word(subject: str, customer: str, why: str) -> None:
    best = NAMES.closest(subject)[0]
    assert (best.value, best.why) == (customer, why)
    assert best.score >= LIKELY
    assert best_customers([subject], NAMES)[subject] == best


@pytest.mark.parametrize("subject", ["", "zebra", "130.237.218.86", "x"])
def test_a_stranger_is_like_nobody(subject: str) -> None:
    assert NAMES.closest(subject) == []


def test_a_customer_is_suggested_once_the_best_first() -> None:
    found = NAMES.closest("helios robotics acme")
    assert [one.value for one in found] == ["helios", "acme"]
    assert found[0].score >= found[1].score
    assert (found[0].kind, found[0].label) == ("assign_customer", "Helios Robotics")


def test_a_type_is_like_one_that_a_meter_counts() -> None:
    known = ["llm.request", "storage.report"]
    assert [one.value for one in closest_types("llm_requests", known)] == ["llm.request"]
    assert [one.value for one in closest_types("llm.request", known)] == []
    assert closest_types("video", known) == []
