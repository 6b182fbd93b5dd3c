"""Rating: what a price, a period and a rule make of a quantity or an amount.

Owns: charges, proration, discounts, taxes, and the statement that puts them in order.
Does not own: prices and periods (catalog), usage (metering), what was billed before (invoicing).
Invariants: no Django, no clock, no row; every number is exact until it is rounded once; steps and shares add
up to the amount they explain.
"""
