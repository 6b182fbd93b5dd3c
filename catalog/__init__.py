"""What is sold, in which units, at which price.

Owns: sellers, tax rates, features, meters, plans and their versions, prices; money, periods and price models as values.
Does not own: who agreed to a price (contracts), what was used and billed (billing).
Invariants: a published version and its prices never change; imports nothing of the other packages.
"""
