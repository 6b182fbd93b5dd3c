"""The words of scenario, catalog and contract files.

Owns: reading a YAML or JSON document into typed words, and making the catalog and contracts say what the words say.
Does not own: what publishing, approving or billing mean; it calls the operations.
Invariants: a word that is not known or not supported yet is refused by name, never ignored; one file, one transaction.
"""
