"""The desk of what is held, and of its review by two persons.

Owns: the queue of groups, the list and the page of held records, the forms of proposals, their approval, and the pages
of rules that were kept. Does not own: what any of them does (billing/review/).
Invariants: a page calls one operation and shows its result, or why it could not; nothing here writes a row itself.
"""

from billing.admin.quarantine import proposals, records

__all__ = ["proposals", "records"]
