"""A believable company to look at, made through the real operations.

Owns: the sample company's catalog, customers, usage and story; its people; starting server and worker beside it.
Does not own: any rule. It loads files, ingests batches, corrects, bills and voids as integrations and people do.
Invariants: the same installation always gets the same company; asked again, nothing is made twice.
"""
