"""Cases of our own for keys and combinations that the collected ones leave out; `notes` shows the working."""

from pathlib import Path
from typing import Any

import pytest

from tests.golden import test_golden as runner

OWN = Path(__file__).parent / "own"


@pytest.mark.parametrize("case", runner.cases_of(OWN))
def test_own_case(case: dict[str, Any]) -> None:
    assert case["notes"], "a case of our own shows its working"
    runner.test_golden_case(case)
