"""What the pipeline stores, stage by stage."""

from billing.models.credits import CreditUse
from billing.models.invoices import (
    BillRun,
    BillRunFault,
    CreditNote,
    Document,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    NumberSeries,
    PeriodClose,
    Purpose,
)
from billing.models.quarantine import HeldRecord, HeldStatus, Sighting
from billing.models.usage import (
    Bucket,
    Correction,
    CorrectionKind,
    Event,
    Receipt,
    ReceiptCount,
    Register,
    Source,
    UsageClock,
)

__all__ = [
    "BillRun",
    "BillRunFault",
    "Bucket",
    "Correction",
    "CorrectionKind",
    "CreditNote",
    "CreditUse",
    "Document",
    "Event",
    "HeldRecord",
    "HeldStatus",
    "Invoice",
    "InvoiceLine",
    "InvoiceStatus",
    "LineKind",
    "NumberSeries",
    "PeriodClose",
    "Purpose",
    "Receipt",
    "ReceiptCount",
    "Register",
    "Sighting",
    "Source",
    "UsageClock",
]
