"""The sample company's catalog and contracts, loaded from their files as `load_catalog` and `load_contracts` do."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from string import Template
from typing import Any

from django.contrib.auth.models import User

from catalog.models import Seller
from contracts.models import Contract
from revops.demo.months import Months, shifted
from revops.vocabulary.catalog_loading import load_catalog
from revops.vocabulary.contract_loading import load_contracts
from revops.vocabulary.decoding import decode
from revops.vocabulary.documents import read_text
from revops.vocabulary.loading import Load
from revops.vocabulary.words import CatalogWords, ContractsWords

SELLER = "aurora"
FOLDER = Path(__file__).parent


def months_so_far() -> Months | None:
    """The months of the company that is there; None where there is none."""
    seller = Seller.objects.filter(key=SELLER).first()
    if seller is None:
        return None
    founded: dt.date = seller.history.earliest("history_date").history_date.date()
    return Months.beginning(shifted(founded.replace(day=1), 1))


def load(months: Months, at: dt.datetime) -> None:
    """Found the company: publish its catalog and approve its contracts. Does nothing where that was done."""
    if not Seller.objects.filter(key=SELLER).exists():
        words = decode(CatalogWords, document("catalog.yaml", months))
        load_catalog(words, Load(at, "catalog.yaml"), publish=True)
    if not Contract.objects.filter(number="A-1001").exists():
        contracts = decode(ContractsWords, document("contracts.yaml", months))
        load_contracts(contracts, Load(at, "contracts.yaml"), publish=True)


def load_drafts(months: Months, at: dt.datetime, by: User) -> None:
    """What is only prepared: drafts, by a person."""
    if Contract.objects.filter(number="A-1016").exists():
        return
    prepared = document("drafts.yaml", months)
    load_catalog(decode(CatalogWords, prepared["catalog"]), Load(at, "drafts.yaml", by))
    load_contracts(decode(ContractsWords, prepared["contracts"]), Load(at, "drafts.yaml", by))


def document(name: str, months: Months) -> Any:
    """A file of the company with its months filled in."""
    return read_text(Template((FOLDER / name).read_text(encoding="utf-8")).substitute(months.words()))
