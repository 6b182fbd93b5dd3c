"""The desk of who agreed to what: customers, contracts and their terms.

Owns: how terms read and are typed, and which operation a button calls. Does not own: what an operation does, and money:
what a deed would change on an invoice is shown by billing (catalog/deeds.py, `TriedDeed.watch`).
Invariants: a draft is edited with its terms; what is approved changes by deeds, each with a reason and a confirm page.
"""

from contracts.admin import allowances, amending, contracts, customers, deeds, terms
from contracts.admin.contracts import ContractDesk
from contracts.admin.customers import CustomerDesk

__all__ = ["ContractDesk", "CustomerDesk", "allowances", "amending", "contracts", "customers", "deeds", "terms"]
