"""The quarantine database: the app its tables and migrations belong to.

Owns: the label `quarantine`, which the router sends to the database of that alias, and its migrations.
Does not own: the models (billing/models/quarantine.py) and what is done with them (billing/metering/quarantine.py).
Invariant: no foreign key leaves this database.
"""
