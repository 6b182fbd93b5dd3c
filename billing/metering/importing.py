"""Files of usage, of any size, through the same front door as everything else.

Records go to ingestion in batches. Memory is flat: a batch is held, and the digests already seen in the file live in a
temporary database on disk of some 40 bytes for each distinct record.

A record without an id is named after its content: the digest of all it says, and its number among the identical
records of the file. So a file that is sent again, or one that overlaps another, adds nothing, while identical lines
inside one file stay what they are: several events.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import msgspec
from django.db import IntegrityError, transaction

from billing.metering.decoding import MAX_ATTRIBUTE
from billing.metering.formats import Layout, Readable, Record, records
from billing.metering.ingestion import ingest
from billing.models import Source
from catalog.auditing import sign

BATCH = 4000  # records
BATCH_BYTES = 8 * 1024 * 1024
CACHE = 32 * 1024  # KiB of the temporary database kept in memory

_encode = msgspec.json.Encoder().encode


@dataclass
class ImportReceipt:
    """What became of the records of an import. `receipt` is that of its last batch; every batch has its own."""

    receipt: uuid.UUID | None = None
    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0


def import_file(
    stream: BinaryIO,
    layout: Layout,
    *,
    at: dt.datetime,
    total: ImportReceipt,
    progress: Callable[[int], None] = lambda position: None,
) -> None:
    """Ingest every record of a file and add it up in `total`; `progress` is told the position in the file.

    Raises UnableToRead before anything is stored, and UnableToIngest where a database is away: what was counted by
    then is stored, and importing the file again adds the rest.
    """
    sources = Sources(at)
    sources.declare(layout.source)
    for batch in batches(records(stream, layout)):
        if layout.format == "cloudevents":
            sources.declare_all(batch)
        done = ingest(batch, at=at, door="import")
        total.receipt = done.receipt
        total.received += done.received
        total.accepted += done.accepted
        total.duplicates += done.duplicates
        total.quarantined += done.quarantined
        progress(stream.tell())


def batches(found: Iterator[Record]) -> Iterator[list[bytes]]:
    """Records as bytes, in batches of bounded number and size."""
    batch: list[bytes] = []
    size = 0
    occurrences = Occurrences()
    try:
        for record in found:
            encoded = event_of(record, occurrences) if isinstance(record, Readable) else record.raw
            batch.append(encoded)
            size += len(encoded)
            if len(batch) >= BATCH or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch
    finally:
        occurrences.close()


def event_of(record: Readable, occurrences: Occurrences) -> bytes:
    if isinstance(record.event, bytes):
        return record.event
    if record.digest is not None:
        number = occurrences.next(record.digest)
        return _encode({**record.event, "id": f"{record.digest.hex()}-{number}"})
    return _encode(record.event)


class Occurrences:
    """Counts how often each digest was seen, on disk once it does not fit in the cache."""

    def __init__(self) -> None:
        # The empty name is SQLite's own temporary file, which is gone when it is closed.
        self.database = sqlite3.connect("", isolation_level=None)
        self.database.execute(f"PRAGMA cache_size = -{CACHE}")
        self.database.execute("PRAGMA journal_mode = OFF")
        self.database.execute("PRAGMA synchronous = OFF")
        self.database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
        self.database.execute("BEGIN")

    def next(self, digest: bytes) -> int:
        """1 for the first record of this digest, 2 for the second."""
        row = self.database.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET number = number + 1 RETURNING number", (digest,)
        ).fetchone()
        return int(row[0])

    def close(self) -> None:
        self.database.close()


class Named(msgspec.Struct):
    """As much of an event as tells its source."""

    source: str | None = None


class Sources:
    """In files an undeclared source is created: whoever imports a file vouches for it."""

    def __init__(self, at: dt.datetime) -> None:
        self.at = at
        self.known: set[str] = set()

    def declare(self, key: str) -> None:
        if key in self.known or len(key) > MAX_ATTRIBUTE or "\0" in key:
            return  # known, or of a form that no source has: ingestion judges the record
        if not Source.objects.filter(key=key).exists():
            source = Source(key=key)
            sign(source, self.at, None, "Created by an import")
            # Another import may be faster.
            with suppress(IntegrityError), transaction.atomic():
                source.save()
        self.known.add(key)

    def declare_all(self, batch: list[bytes]) -> None:
        """The sources that events name themselves."""
        for raw in batch:
            try:
                named = msgspec.json.decode(raw, type=Named)
            except (ValueError, RecursionError):
                continue
            if named.source:
                self.declare(named.source)
