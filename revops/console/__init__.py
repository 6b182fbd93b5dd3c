"""The console: Django's admin, arranged for the office.

Owns: the site itself, the order of its index, pages that look across desks.
Does not own: desks of catalog, contracts and billing; they are in those packages, and call their operations.
"""
