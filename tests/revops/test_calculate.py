"""The command `calculate`: the same as POST calculate, from a file."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError


def calculated(path: Path) -> object:
    out = StringIO()
    call_command("calculate", path, stdout=out)
    return json.loads(out.getvalue())


def test_a_price_is_calculated_from_a_file_without_a_database(tmp_path: Path) -> None:
    file = tmp_path / "price.yaml"
    file.write_text("{currency: USD, price: {model: package, package_size: 100, package_amount: 0.30}, quantity: 101}")
    # two packages of 0.30
    answer = calculated(file)
    assert isinstance(answer, dict)
    assert answer["amount"] == "0.60"
    file.write_text("[{currency: JPY, price: {model: per_unit, unit_amount: 0.5}, quantity: 3}]")
    assert [one["amount"] for one in calculated(file)] == ["2"]  # type: ignore[attr-defined]


def test_what_cannot_be_calculated_is_named(tmp_path: Path) -> None:
    file = tmp_path / "price.json"
    file.write_text('{"currency": "USD", "price": {"model": "flat"}, "quantity": "1"}')
    with pytest.raises(CommandError, match="flat_amount: flat_amount is required"):
        calculated(file)
    with pytest.raises(CommandError, match="missing"):
        calculated(tmp_path / "missing")
