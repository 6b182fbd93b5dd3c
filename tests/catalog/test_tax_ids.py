"""VAT ids by country: numbers that are published as examples, by the tax offices or by python-stdnum."""

from __future__ import annotations

import pytest

from catalog.tax_ids import InvalidTaxId, is_reverse_charge, vat_id

BERLIN = ("DE129274202", "DE")


@pytest.mark.parametrize(
    ("said", "country", "full"),
    [
        ("DE129274202", "DE", "DE129274202"),
        ("DE 129 274 202", "DE", "DE129274202"),
        ("136 695 976", "DE", "DE136695976"),  # without its prefix
        ("FR 40 303 265 045", "FR", "FR40303265045"),
        ("ATU13585627", "AT", "ATU13585627"),
        ("EL094259216", "GR", "EL094259216"),
        ("GB980780684", "GB", "GB980780684"),
        ("XI980780684", "GB", "XI980780684"),
        ("CHE-123.456.788", "CH", ""),  # not checked
        ("12-3456789", "US", ""),
        ("whatever", "", ""),
        ("", "DE", ""),
    ],
)
def test_an_id_in_full(said: str, country: str, full: str) -> None:
    assert vat_id(said, country) == full


@pytest.mark.parametrize(
    ("said", "country", "why"),
    [
        ("DE129274203", "DE", "DE129274203 is not a VAT id of DE. The number's checksum or check digit is invalid."),
        ("DE123", "DE", "DE123 is not a VAT id of DE. The number has an invalid length."),
        ("GR094259216", "GR", "GR094259216 is not a VAT id: those of GR begin with EL."),
        ("ATU13585627", "DE", "ATU13585627 is a VAT id of AT, but the country is DE."),
        ("XI980780685", "GB", "XI980780685 is not a VAT id of GB. The number's checksum or check digit is invalid."),
    ],
)
def test_what_is_no_id_is_said_why(said: str, country: str, why: str) -> None:
    with pytest.raises(InvalidTaxId) as refused:
        vat_id(said, country)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("tax_id", "country", "reversed"),
    [
        ("FR40303265045", "FR", True),
        ("EL094259216", "GR", True),
        ("XI980780684", "GB", True),
        ("GB980780684", "GB", False),  # outside
        ("DE136695976", "DE", False),  # at home
        ("FR40303265046", "FR", False),  # not valid
        ("", "FR", False),
        ("CHE-123.456.788", "CH", False),
    ],
)
def test_reverse_charge_is_between_two_states_that_know_both(tax_id: str, country: str, reversed: bool) -> None:
    assert is_reverse_charge(BERLIN, (tax_id, country)) is reversed


def test_a_seller_without_an_id_charges_the_tax() -> None:
    assert not is_reverse_charge(("", "DE"), ("FR40303265045", "FR"))
