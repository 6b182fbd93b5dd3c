"""VAT ids, checked by their form and check digits without asking anybody. Pure.

An id is checked where a VAT id is what it can only be: in the member states of the EU and in the United Kingdom. In
other countries a tax id is kept as it is said.
"""

from __future__ import annotations

import re
from functools import lru_cache

from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError
from stdnum.gb import vat as gb_vat

# XI is no country of its own: it stands before ids of Northern Ireland, whose country is GB.
MEMBER_STATES = frozenset(state.upper() for state in eu_vat.MEMBER_STATES) - {"XI"}
# What ids of a country begin with, where that is not the country itself.
PREFIXES = {"GR": ("EL",), "GB": ("GB", "XI")}
CHECKED = MEMBER_STATES | {"GB"}
ALL_PREFIXES = frozenset(prefix for country in CHECKED for prefix in PREFIXES.get(country, (country,)))


class InvalidTaxId(ValueError):
    """A tax id that is no VAT id of its country, and why."""


def vat_id(tax_id: str, country: str) -> str:
    """The id in full with its prefix and nothing between its characters; empty where it is not one that is checked.

    It may be said without its prefix. Raises InvalidTaxId.
    """
    text = re.sub(r"[\s./-]", "", tax_id).upper()
    if not text or country not in CHECKED:
        return ""
    own = PREFIXES.get(country, (country,))
    begins = text[:2]
    if begins in own:
        prefix, number = begins, text[2:]
    elif begins == country:
        raise InvalidTaxId(f"{tax_id} is not a VAT id: those of {country} begin with {' or '.join(own)}.")
    elif begins in ALL_PREFIXES and country != "FR":  # French ids may begin with any two letters
        raise InvalidTaxId(f"{tax_id} is a VAT id of {begins}, but the country is {country}.")
    else:
        prefix, number = own[0], text
    try:
        return prefix + gb_vat.validate(number) if country == "GB" else eu_vat.validate(prefix + number)
    except ValidationError as invalid:
        raise InvalidTaxId(f"{tax_id} is not a VAT id of {country}. {invalid}") from invalid


@lru_cache(maxsize=10_000)
def vat_area(tax_id: str, country: str) -> str:
    """What the valid VAT id begins with, where it counts inside the EU (XI does, GB does not); else empty."""
    try:
        found = vat_id(tax_id, country)
    except InvalidTaxId:
        return ""
    return "" if found.startswith("GB") else found[:2]


def is_reverse_charge(seller: tuple[str, str], customer: tuple[str, str]) -> bool:
    """Whether the customer accounts for the tax: both (tax id, country) are known in different states of the EU."""
    ours, theirs = vat_area(*seller), vat_area(*customer)
    return bool(ours and theirs) and ours != theirs
