"""The desk of contracts as billing sees them: credit is granted here, with what is left of it before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.contrib import admin

from billing.admin.credit_deeds import GrantCredit
from catalog.deeds import Deed
from contracts.admin import ContractDesk
from contracts.models import Contract

admin.site.unregister(Contract)


@admin.register(Contract)
class ContractOffice(ContractDesk):
    deeds: ClassVar[Sequence[Deed]] = (*ContractDesk.deeds[:-1], GrantCredit(), ContractDesk.deeds[-1])
