"""The console's desks of billing, one file each: usage, quarantine, invoices, bill runs.

Owns: how rows read, and which operation a button calls. Does not own: what an operation does.
Invariants: what the machine wrote is only read here; a deed is an action with a confirm page, never a saved form.
Events and buckets have composite keys, which the admin cannot register: they are read on the pages of their customer
and of the invoice line they were billed on.
"""

from billing.admin import (
    allowances,
    bill_runs,
    contracts,
    credit,
    customers,
    invoice_lines,
    invoices,
    plan_versions,
    prices,
    quarantine,
    source_rules,
    sources,
    usage,
)

__all__ = [
    "allowances", "bill_runs", "contracts", "credit", "customers", "invoice_lines", "invoices", "plan_versions",
    "prices", "quarantine", "source_rules", "sources", "usage",
]  # fmt: skip
