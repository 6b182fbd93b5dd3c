"""Every golden case of a folder (`GOLDEN_DIR`, else the shared one beside the checkout), one test per case."""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.golden import (
    adapt_aggregations,
    adapt_charges,
    adapt_commitments,
    adapt_credits,
    adapt_discounts_taxes,
    adapt_invoices,
    adapt_periods,
    adapt_proration,
)
from tests.golden.unsupported import KINDS, TAGS
from tests.golden.vocabulary import ADAPTERS, differences, number

SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden"
CASE_KEYS = {"id", "topic", "source", "description", "input", "expected", "semantics", "notes"}
# Importing an adapter registers it.
MODULES = (
    adapt_aggregations,
    adapt_charges,
    adapt_commitments,
    adapt_credits,
    adapt_discounts_taxes,
    adapt_invoices,
    adapt_periods,
    adapt_proration,
)


def collected() -> list[Any]:
    """The cases of the folder, or one skipped entry that says why there are none."""
    folder = Path(os.environ["GOLDEN_DIR"]) if os.environ.get("GOLDEN_DIR") else SHARED
    if not any(folder.glob("*.json")):
        if os.environ.get("GOLDEN_DIR"):
            raise FileNotFoundError(f"GOLDEN_DIR is {folder}, and there is no *.json in it")
        absent = pytest.mark.skip(reason=f"no golden cases in {folder}; set GOLDEN_DIR to their folder")
        return [pytest.param({}, id="no-golden-cases", marks=absent)]
    return cases_of(folder)


def cases_of(folder: Path) -> list[Any]:
    cases = [case for file in sorted(folder.glob("*.json")) for case in json.loads(file.read_text())]
    return [pytest.param(case, id=str(case["id"])) for case in cases]


def kind_of(input: dict[str, Any]) -> str:
    """The word that decides which rules a case follows; invoices have none of their own."""
    for name in ("kind", "model", "aggregation"):
        if name in input:
            return str(input[name])
    return "invoice" if "lines" in input else "unknown"


def reason_to_skip(case: dict[str, Any]) -> str | None:
    """Why a case is not run; a sum is not where one of its parts is not."""
    for tag in case.get("semantics") or []:
        if tag in TAGS:
            return f"{tag}: {TAGS[tag]}"
    kind = kind_of(case["input"])
    if kind in KINDS:
        return f"{kind}: {KINDS[kind]}"
    parts = (reason_to_skip({"input": part}) for part in case["input"].get("parts") or [])
    return next((reason for reason in parts if reason), None)


@pytest.mark.parametrize("case", collected())
def test_golden_case(case: dict[str, Any]) -> None:
    kind = kind_of(case["input"])
    reason = reason_to_skip(case)
    if reason is not None:
        pytest.skip(reason)
    assert set(case) <= CASE_KEYS, f"keys outside the vocabulary: {set(case) - CASE_KEYS}"
    assert kind in ADAPTERS, f"{kind!r} is not a kind of the vocabulary"
    adapter = ADAPTERS[kind]
    strange = set(case["input"]) - adapter.keys
    assert not strange, f"input keys of {kind} outside the vocabulary: {sorted(strange)}"
    tolerance = number(case["input"].get("tolerance", "0"))
    assert differences(case["expected"], adapter.run(case["input"]), Decimal(tolerance)) == []
