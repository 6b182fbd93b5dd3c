"""Thousands of requests made from the document, good and bad: no fault of ours, and no answer that it does not name.

The requests are the same every time. Over the whole document, by hand:
`schemathesis run http://127.0.0.1:8000/api/schema -H "Authorization: Bearer $KEY"`.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS

from revops.api.schema import documentation

from .conftest import Api, event

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "quarantine"])

DOCUMENT = schemathesis.openapi.from_dict(documentation())
DOCUMENT.config.generation.allow_x00 = False

NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
"""Not asked: whether all that the schemas allow is done. They say the form; what is unknown or in another state is
refused with a reason."""

FEW = settings(max_examples=10, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def used(api: Api, globex: None) -> Api:
    """The company of the documentation's examples, with use that was accepted, and some that was held."""
    mine = {"source": "gateway", "type": "text.translated", "subject": "globex", "data": {"words": 5, "language": "de"}}
    records = [{**event(f"req-{number}"), **mine} for number in range(3)]
    for record in records:
        record.pop("time")
    records += [{**records[0], "id": "held-1", "subject": "stranger"}, {**records[0], "id": "held-2", "type": "other"}]
    assert api.post("events", records).json["quarantined"] == 2
    return api


def check(case: Any, api: Api, left_out: tuple[str, ...] = ()) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{api.port}",
        headers={"Authorization": f"Bearer {api.secret}"},
        checks=CHECKS.get_by_names([name for name in NAMES if name not in left_out]),
    )


@DOCUMENT.include(path_regex="/(usage|preview|quarantine)").parametrize()
@FEW
def test_usage_previews_and_the_quarantine_answer_as_documented(case: Any, used: Api) -> None:
    check(case, used)


@DOCUMENT.include(path="/api/v1/events").parametrize()
@FEW
def test_events_are_taken_or_held_whatever_they_are(case: Any, used: Api) -> None:
    # A record that is not as the schema has it is held, not refused.
    check(case, used, left_out=("negative_data_rejection",) if case.method == "POST" else ())
