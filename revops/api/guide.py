"""What the documentation says beside the calls themselves."""

SUMMARY = """\
An event is reported once, counted once and billed once; usage and the next invoice can be read at any moment.

**Keys.** Send `Authorization: Bearer KEY` or `X-API-Key: KEY`. Each call names the scope that its key must have; who
may write a thing may read it too. Keys are made in the console under Settings, shown once, and may be bound to one
source.

**Numbers.** Money and quantities are decimal texts, money always with the places of its currency; counts are integers;
instants are ISO 8601 with an offset. Fields and parameters that are not known are refused by name.

**Errors** are `application/problem+json` (RFC 9457): `detail` says what to do, `errors` names each field at fault.

**Lists** come in pages: follow `next` until it is null.

**Changing** is a JSON merge patch: what is named is replaced, null takes it back to what it is by default, lists are
replaced whole. What is published, approved or has been counted by is frozen; the refusal (409) says what to do instead.
Drafts may be deleted, and nothing else. Whoever submits a plan version or a contract cannot approve it: for this, a key
is a person, the same as whoever made it on the console.

**Sending again** is always safe: an event counts once by its `source` and `id`, a deed once by its `Idempotency-Key`.
On 429, 503 or no answer at all, send the same request again, after `Retry-After` where it is given.
"""

TAGS = {
    "Events": "Report use, look it up, correct it.",
    "Usage and previews": "What was used, and the next invoices as they stand.",
    "Entitlements": "What a customer may use, asked before it is used.",
    "Invoices": "Invoices, credit notes, their lines and the events behind them.",
    "Customers and contracts": "Who agreed to what, and when.",
    "What is sold": "Sources, meters, features, plans and prices.",
    "Quarantine": "What was held back, and its review.",
}

REASONS = {
    "malformed": "not a CloudEvent: no JSON, an attribute of the wrong type, too long, too deep, too many digits",
    "unknown_source": "no source of this name, or one that the key may not report for",
    "missing_field": "an attribute, or a property of `data` that a meter of this type reads, is absent or null",
    "time_in_future": "the time is later than now, beyond what the source's clock may be off",
    "unknown_event_type": "no meter counts this type",
    "unknown_customer": "the subject is no customer's key and none of their subjects",
    "no_active_contract": "the customer has no contract in force at that time",
    "invalid_value": "the value is no number, or negative where the meter takes none",
    "rule": "a rule of the source holds such records",
    "conflict": "this source and id were accepted before with another content",
}

STATUSES = [
    (400, "The request does not say what it should; for events: the body as a whole is not of its form.", "Mend it."),
    (401, "No key, or one that is not known, has expired or was revoked.", "Check the header; ask for a new key."),
    (403, "The key lacks the scope that `detail` names.", "Ask for a key with it."),
    (404, "There is no such thing.", "Check the address: no slash at its end."),
    (405, "The address does not take this method.", "`Allow` says which."),
    (409, "It cannot be done in this state, or the same deed is under way.", "Read `detail`."),
    (413, "More than 16 MiB, or more than 10,000 records.", "Split the batch."),
    (415, "The body has another content type, or is compressed.", "Set `Content-Type`."),
    (422, "The `Idempotency-Key` was used for another request.", "Take a new one."),
    (429, "Too much at once. Nothing was done.", "Send the same after `Retry-After` seconds."),
    (500, "A fault of ours; it is in our log.", "Send the same again; then tell us."),
    (503, "The database is away. Nothing was done.", "Send the same after `Retry-After` seconds."),
]
