"""The REST doors under /api/v1/.

Owns: keys and their scopes, reading requests, problems (RFC 9457), pages of lists, the JSON of what is stored.
Does not own: any rule; a door parses, calls one operation with the clock's instant and renders its result.
Invariants: an error is a problem document that says what to do; a record is answered for only when it is stored.
"""
