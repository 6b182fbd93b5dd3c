"""The embedded PostgreSQL server: trial, development, tests, a single box.

Owns: finding server binaries, one cluster per `WATERTIGHT_HOME`, its roles and databases, what the
application's role may do in them, and migrating an empty database before a command runs.
Does not own: a server named by `DATABASE_URL` (it is only connected to), models, migrations.
Invariants: ready means that a connection succeeds; the superuser is reached over a socket in a 0700
directory only; the server outlives whoever started it; no user is made and no parent's mode is changed.
`home`, `account`, `binaries`, `postmaster`, `furnishing`, `launcher` and `roles` import no Django.
"""
