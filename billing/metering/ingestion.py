"""The one way in: a batch of records becomes accepted events, duplicates and held records, and a receipt.

Locks are always taken in this order, each sorted by key: register, clocks, events, buckets, their distinct values. What
is held is committed to the quarantine database while the main transaction is still open; if that one fails, the
sender's repeat heals it.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from msgspec import Raw, Struct

from billing.metering.buckets import Addition, add_to_buckets, gather, prepare
from billing.metering.decoding import Record, decode_batch, decode_record, instant_of
from billing.metering.directory import Directory, current_directory, directory_version, forget_directory
from billing.metering.distinct import BucketKey
from billing.metering.labelling import Held, Label, Reason, decide_at
from billing.metering.originals import store_originals
from billing.metering.quarantine import Rejected, hold, is_any_open, supersede
from billing.metering.rules import apply_rules
from billing.metering.storage import (
    Accepted,
    Counts,
    Cursor,
    bulk_cursor,
    copy_events,
    ensure_partitions,
    forget_partitions,
    pack_events,
    register,
    registered_digests,
    take_clocks,
    write_receipt,
)
from catalog.money import exact_arithmetic

ATTEMPTS = 5

ACCEPTED, DUPLICATE, QUARANTINED = "accepted", "duplicate", "quarantined"

logger = logging.getLogger(__name__)


class UnableToIngest(Exception):
    """A database does not answer, or fails. Nothing was accepted: send the batch again, with the same ids."""


class _DirectoryChanged(Exception):
    """Customers, contracts, meters or sources changed while a batch was being labelled."""


class RecordResult(Struct, frozen=True, gc=False):
    """What became of one record; `reason` and `detail` where it is held."""

    index: int
    source: str
    id: str
    status: str
    reason: str | None = None
    detail: str = ""


class Touched(Struct, frozen=True, gc=False):
    """What a batch did to the use of a customer: the stamp it took, and the first instant it touched."""

    clock: int
    earliest: int


@dataclass(frozen=True)
class ReceiptResult:
    """What became of a batch: received = accepted + duplicates + quarantined.

    `touched` are the customers with limits to whose use it added something.
    """

    receipt: uuid.UUID
    received: int
    accepted: int
    duplicates: int
    quarantined: int
    _records: Sequence[Record] = field(repr=False)
    _fates: Sequence[Fate] = field(repr=False)
    touched: Mapping[int, Touched] = field(default_factory=dict, repr=False)

    @property
    def results(self) -> list[RecordResult]:
        """Every record's result, in the order of the batch."""
        return list(self._results())

    @property
    def not_accepted(self) -> list[RecordResult]:
        return [result for result in self._results(but=ACCEPTED)]

    def _results(self, but: str = "") -> Iterator[RecordResult]:
        for index, (record, fate) in enumerate(zip(self._records, self._fates, strict=True)):
            if isinstance(fate, Held):
                yield RecordResult(index, record.source, record.id, QUARANTINED, fate.reason.value, fate.detail)
            elif fate != but:
                yield RecordResult(index, record.source, record.id, fate)


# ACCEPTED, DUPLICATE, or why it is held.
Fate = str | Held

Judged = tuple[list[Record], list[Label | Held]]
Judge = Callable[[Directory], Judged]

_CONFLICT = Held(Reason.CONFLICT, "this id of this source was received before with other content")


def ingest(
    batch: bytes | Iterable[bytes], *, at: dt.datetime, door: str, bound_source: str | None = None
) -> ReceiptResult:
    """Take in a batch received at `at`: the body of one request, or records as bytes of their own.

    `door` says how it came (api, import, scenario ...); `bound_source` is the only source the sender may report for.
    Both databases have committed when it returns. Raises NotABatch for a body that is none, and UnableToIngest
    when a database does not answer or fails; then nothing was accepted, and a repeat is safe.
    """
    raws = decode_batch(batch) if isinstance(batch, bytes) else list(batch)

    def judge(directory: Directory) -> Judged:
        return read_all(raws, directory, at, bound_source)

    receipt, records, fates, touched = _attempt(judge, at, door, bound_source, is_held=False)
    _supersede(records, fates, at)
    return _result(receipt, records, fates, _totals(fates), touched)


def readmit(judge: Judge, *, at: dt.datetime, door: str) -> ReceiptResult:
    """Take in records that are held already, as `judge` decodes and decides them now; `at` is when they come in.

    What still cannot be counted is not held once more: it stays where it is, its result says why, and the receipt
    counts only what came in (received = accepted + duplicates). Resolving the held records is the caller's business.
    Raises UnableToIngest when the database does not answer; then nothing was accepted, and a repeat is safe.
    """
    receipt, records, fates, touched = _attempt(judge, at, door, None, is_held=True)
    return _result(receipt, records, fates, _totals_readmitted(fates), touched)


def _result(
    receipt: uuid.UUID,
    records: Sequence[Record],
    fates: Sequence[Fate],
    totals: Counts,
    touched: Mapping[int, Touched],
) -> ReceiptResult:
    accepted, duplicates, quarantined = totals
    return ReceiptResult(receipt, sum(totals), accepted, duplicates, quarantined, records, fates, touched)


def _attempt(
    judge: Judge, at: dt.datetime, door: str, bound_source: str | None, is_held: bool
) -> tuple[uuid.UUID, list[Record], list[Fate], Mapping[int, Touched]]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # Each attempt has a receipt of its own, so that what one has held is never taken for another's.
            receipt = uuid.uuid4()
            return receipt, *_take_in(judge, receipt, at, door, bound_source, is_held)
        except _DirectoryChanged:
            forget_directory()
            forget_partitions()  # perhaps it is another database by now, with the same name
        except (DatabaseError, InterfaceError) as error:
            if attempt < ATTEMPTS and _may_pass(error):
                continue
            raise _unable(error) from error
    raise UnableToIngest("Customers or meters change faster than a batch is labelled; send it again.")


def _unable(error: Exception) -> UnableToIngest:
    """Away, or at fault: for the sender it is the same. What is a fault is logged with all there is to know."""
    is_away = isinstance(error, OperationalError | InterfaceError)
    logger.error("A batch could not be taken in: %s", error, exc_info=None if is_away else error)
    cause = "The database does not answer." if is_away else "The database failed to store the batch."
    return UnableToIngest(f"{cause} Nothing was accepted; send the batch again with the same ids.")


def _may_pass(error: Exception) -> bool:
    """Whether a repeat may do better: two batches waited for each other, or a partition has gone."""
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.CheckViolation) and "no partition" in str(cause):
        forget_partitions()
        return True
    return isinstance(cause, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


def _take_in(
    judge: Judge, receipt: uuid.UUID, at: dt.datetime, door: str, bound_source: str | None, is_held: bool
) -> tuple[list[Record], list[Fate], Mapping[int, Touched]]:
    touched: Mapping[int, Touched] = {}
    directory = current_directory()
    records, decisions = judge(directory)
    ensure_partitions([label.occurred_at for label in decisions if isinstance(label, Label)])
    with transaction.atomic(durable=True), connection.wrap_database_errors:
        if directory.version is not None and directory.version != directory_version():
            raise _DirectoryChanged
        cursor = bulk_cursor()
        fates, accepted = _settle(cursor, records, decisions)
        if is_held:
            _write_readmission(cursor, receipt, at, door, records, fates)
        else:
            # Before the clocks are taken, so that nobody waits for the other database.
            hold(_rejected(records, fates), receipt=receipt, at=at, bound_source=bound_source or "")
            write_receipt(cursor, receipt, at, door, _totals(fates), _totals_by_source(records, fates))
        if accepted:
            touched = _count(cursor, accepted, receipt, instant_of(at), directory.limited)
    return records, fates, touched


def _write_readmission(
    cursor: Cursor, receipt: uuid.UUID, at: dt.datetime, door: str, records: Sequence[Record], fates: Sequence[Fate]
) -> None:
    """The receipt of what came in of records that are held already; none where nothing did."""
    came_in = [index for index, fate in enumerate(fates) if type(fate) is not Held]
    if came_in:
        by_source = _totals_by_source([records[index] for index in came_in], [fates[index] for index in came_in])
        write_receipt(cursor, receipt, at, door, _totals_readmitted(fates), by_source)


def read_all(
    raws: Iterable[Raw | bytes], directory: Directory, at: dt.datetime, bound_source: str | None = None
) -> tuple[list[Record], list[Label | Held]]:
    """Decode and decide record by record, which keeps little in memory at a time; rules of the sources come first.

    Only records whose subjects the directory does not know yet wait until these are looked up, all together.
    """
    arrival = instant_of(at)
    known, rules = directory.customers, directory.rules
    records: list[Record] = []
    decisions: list[Label | Held] = []
    waiting: list[int] = []
    for raw in raws:
        record = decode_record(raw)
        if rules and record.source in rules:
            apply_rules(rules[record.source], record, arrival)
        if record.subject in known:
            decisions.append(decide_at(record, directory, arrival, bound_source))
            record.data = _READ
        else:
            waiting.append(len(records))
            decisions.append(_WAITING)
        records.append(record)
    directory.look_up({records[index].subject for index in waiting})
    for index in waiting:
        decisions[index] = decide_at(records[index], directory, arrival, bound_source)
    return records, decisions


_READ: dict[str, Any] = {}  # what stands for data that have been read and are not needed any more
_WAITING = Held(Reason.UNKNOWN_CUSTOMER, "")


def _settle(
    cursor: Cursor, records: Sequence[Record], decisions: Sequence[Label | Held]
) -> tuple[list[Fate], list[Accepted]]:
    """Register what was labelled; say what becomes of each record, and which are new.

    The first of a key wins, here and in the register; what has its digest is a duplicate, anything else a conflict.
    A record that could not be labelled today but was accepted before is a duplicate too.
    """
    fates: list[Fate] = [ACCEPTED] * len(records)
    firsts: dict[bytes, int] = {}
    repeats: list[int] = []
    held: dict[int, Held] = {}
    for index, decision in enumerate(decisions):
        if type(decision) is Held:
            held[index] = decision
        elif firsts.setdefault(records[index].key, index) != index:  # type: ignore[arg-type]  # a label has a key
            repeats.append(index)
    accepted: list[Accepted] = [(records[firsts[key]], decisions[firsts[key]]) for key in sorted(firsts)]  # type: ignore[misc]
    taken = register(cursor, accepted)
    if taken:
        repeats += [firsts[key] for key in taken]
        accepted = [one for one in accepted if one[0].key not in taken]
    asked = {key for index in held if (key := _comparable(records[index])) is not None}
    digests = registered_digests(cursor, asked | taken)
    for index in repeats:
        record = records[index]
        first = digests.get(record.key) or records[firsts[record.key]].digest  # type: ignore[arg-type,index]
        fates[index] = DUPLICATE if record.digest == first else _CONFLICT
    for index, reason in held.items():
        record = records[index]
        is_known = record.digest == digests.get(_comparable(record) or b"")
        fates[index] = DUPLICATE if is_known else reason
    return fates, accepted


def _comparable(record: Record) -> bytes | None:
    """The key of a record that was read well enough to be compared with an accepted one."""
    return record.key if record.fault is None else None


def _count(
    cursor: Cursor, events: Sequence[Accepted], receipt: uuid.UUID, arrival: int, limited: Set[int]
) -> dict[int, Touched]:
    """Stamp new events with their customers' clocks, store them, and add them to the buckets.

    Says what it touched of those with limits.
    """
    earliest: dict[int, int] = {}
    additions: dict[BucketKey, Addition] = {}
    for _, label in events:
        customer, occurred_at = label.customer_id, label.occurred_at
        if occurred_at < earliest.setdefault(customer, occurred_at):
            earliest[customer] = occurred_at
    with exact_arithmetic():
        gather(additions, [label for _, label in events])
    packed = pack_events(events, receipt, arrival)
    prepared = prepare(additions)
    store_originals(cursor, events)
    # From here to the commit, other batches of these customers wait.
    clocks = take_clocks(cursor, earliest)
    copy_events(cursor, packed, clocks)
    add_to_buckets(cursor, prepared, clocks)
    return {customer: Touched(clocks[customer], earliest[customer]) for customer in limited & earliest.keys()}


def _rejected(records: Sequence[Record], fates: Sequence[Fate]) -> list[Rejected]:
    return [Rejected(index, records[index], fate) for index, fate in enumerate(fates) if isinstance(fate, Held)]


def _totals(fates: Sequence[Fate]) -> Counts:
    quarantined = sum([type(fate) is Held for fate in fates])
    accepted = fates.count(ACCEPTED)
    return accepted, len(fates) - accepted - quarantined, quarantined


def _totals_readmitted(fates: Sequence[Fate]) -> Counts:
    accepted, duplicates, _ = _totals(fates)
    return accepted, duplicates, 0


def _totals_by_source(records: Sequence[Record], fates: Sequence[Fate]) -> Mapping[str, Counts]:
    sources = {record.source for record in records}
    if len(sources) == 1:
        return {sources.pop(): _totals(fates)}
    by_source: dict[str, list[Fate]] = {source: [] for source in sorted(sources)}
    for record, fate in zip(records, fates, strict=True):
        by_source[record.source].append(fate)
    return {source: _totals(some) for source, some in by_source.items()}


def _supersede(records: Sequence[Record], fates: Sequence[Fate], at: dt.datetime) -> None:
    """What was held under an id before it came in good form needs no review. Done for duplicates too: a crash heals."""
    if all(type(fate) is Held for fate in fates):
        return
    try:
        if is_any_open():
            accepted, repeated, later = _resolved(records, fates)
            supersede(accepted, at, repeated=repeated, later=later)
    except (DatabaseError, InterfaceError) as error:
        # The batch is in; the next repeat of any of its records does this again.
        logger.error("Held records of accepted ids could not be resolved: %s", error)


def _resolved(
    records: Sequence[Record], fates: Sequence[Fate]
) -> tuple[set[bytes], set[bytes], list[tuple[bytes, bytes]]]:
    """Keys that were accepted and keys that were repeated, and (key, digest) of what was held after the good one."""
    accepted: set[bytes] = set()
    repeated: set[bytes] = set()
    later: list[tuple[bytes, bytes]] = []
    for record, fate in zip(records, fates, strict=True):
        if not record.key:
            continue
        if type(fate) is Held:
            if record.key in accepted:
                later.append((record.key, record.digest))
        elif fate == ACCEPTED:
            accepted.add(record.key)
        else:
            repeated.add(record.key)
    return accepted, repeated - accepted, later
