"""The books: six proofs that every unit of use that was reported is billed, free, open, held or refused.

    check(at) -> Report

What is checked is everything known now, in one view of each database; `at` says which periods should be closed.
"""

from __future__ import annotations

import datetime as dt

from billing.metering.recount import months_with_use
from contracts.queries import PriceBook
from revops.reconciliation.accounts import customer_ids, read_accounts
from revops.reconciliation.counted import prove_counted
from revops.reconciliation.documents import prove_documents
from revops.reconciliation.held import confirm_missing, prove_held
from revops.reconciliation.lines import Lineage, prove_lineage
from revops.reconciliation.progress import Watch, unseen
from revops.reconciliation.received import prove_received
from revops.reconciliation.report import Check, Report
from revops.reconciliation.settled import SettledProof
from revops.reconciliation.snapshot import consistent_view
from revops.reconciliation.used import UsedProof


def check(at: dt.datetime, *, lineage: Lineage | None = None, watch: Watch = unseen) -> Report:
    """Prove the books. Reads only, so any role that may read will do; takes no lock.

    `lineage` says for which lines the events behind them are counted again: all, or a fixed sample; by default all
    while the books are small.
    """
    with consistent_view():
        with watch(None, "receipts"):
            received = prove_received()
        with watch(None, "held records"):
            held, missing = prove_held()
        months = months_with_use()
        with watch(len(months), "buckets") as bar:
            counted = prove_counted(months, bar.update)
        used, settled = _prove_accounts(at, watch)
        with watch(None, "documents"):
            documents = prove_documents()
        prove_lineage(documents, lineage, received.figures["events"], watch)
    confirm_missing(held, missing)
    return Report(at, (received, held, counted, used, settled, documents))


def _prove_accounts(at: dt.datetime, watch: Watch) -> tuple[Check, Check]:
    """Checks 4 and 5, which rate every closed period of every contract, some customers at a time."""
    used, settled, prices = UsedProof(), SettledProof(), PriceBook()
    with watch(None, "customers") as bar:
        for customers in customer_ids():
            accounts = read_accounts(customers, prices, at)
            used.add(customers, accounts)
            for account in accounts:
                settled.add(account)
            bar.update(len(customers))
    return used.finish(), settled.finish()
