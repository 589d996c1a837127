"""Usage roll-ups: what calls consumed and cost, summed by minute, hour and day, so that a month's report reads sums and no calls.

Like `rollups.py` they are made in the ledger's quiet moments, in the order of the journal, under a mark of their own; a sum is a
function of the settlements up to that mark alone. They are apart because they ask other questions: of keys, models, tiers and
meters in UTC, not of lots and cycles. A report reads the sums of one grain and adds the few settlements after the mark.

A charge is rounded once, for the whole call. Its parts by meter are shares of it in proportion to what each meter costs on the rate
card, whole nanos, so that the parts of any sum add up to the charges that the ledger booked.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import add
from typing import Final, NamedTuple, TypeAlias

import msgspec
from sqlalchemy import Connection, select

from tokenroll.engine.rating import card_from_json, meter_costs, rate_attos
from tokenroll.engine.sharing import shared_out
from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, TOKEN_METER_COUNT, Meter
from tokenroll.store import schema
from tokenroll.store.attempt_record import (
    METER_COUNT,
    AttemptRecord,
    HoldRecord,
    SettleRecord,
    hold_key,
    parse_record,
)
from tokenroll.store.database import raw_connection
from tokenroll.store.plain_settlement import hold_label, settle_label, settle_offset
from tokenroll.store.rollups import names_of, set_mark
from tokenroll.store.tape import settle_counts

MARK: Final = "usage"
MINUTE_SECONDS: Final = 60
GRAINS_SECONDS: Final = (MINUTE_SECONDS, 3_600, 86_400)
"""The widths that are kept: each is a whole number of the one before it."""
SLICE_SETTLEMENTS: Final = 2_000
"""Settlements rolled up in one transaction: some 40 ms where nothing is compiled, for which no report waits longer than it notices."""
LONG_INPUT_TOKENS: Final = 200_000
"""A call with more input than this is told as one of the long context window, as providers tell it."""
_SETTLEMENTS: Final = (
    "SELECT ledger_seq, hold_key, record FROM settlements WHERE ledger_seq > ? ORDER BY ledger_seq LIMIT ?"
)
_LABEL: Final = "SELECT id FROM usage_labels WHERE api_key_id = ? AND model = ? AND dialect = ? AND service_tier = ? AND is_long = ?"
_NEW_LABEL: Final = (
    "INSERT INTO usage_labels SELECT coalesce(max(id), 0) + 1, ?, ?, ?, ?, ? FROM usage_labels RETURNING id"
)
_UPSERT: Final = """
    INSERT INTO usage_rollups VALUES (?,?,?,?,?,?) ON CONFLICT(grain_seconds, start_at, label_id) DO UPDATE SET
    call_count = excluded.call_count, charge_nanos = excluded.charge_nanos, parts = excluded.parts"""
_INPUT_INDEXES: Final = tuple(METER_INDEX[meter] for meter in INPUT_METERS)
_CARDS_KEPT: Final = 4_096
_LABELS_KEPT: Final = 65_536
_MINUTE_MICROS: Final = MINUTE_SECONDS * MICROS_PER_SECOND


class UsageLabel(NamedTuple):
    """What is told apart within a minute: whose key, which model, at which endpoint, tier and context window."""

    api_key_id: int
    model: str
    dialect: int
    service_tier: str
    is_long: bool


Part: TypeAlias = tuple[int, int, int, int]
"""A meter's place in METERS, how many calls used it, what it counted, and its part of their charge in nanos."""


class UsageSum:
    """What calls of one label amount to: how many, their charge, and by meter the counts and each meter's part of the charge."""

    __slots__ = ("call_count", "charge_nanos", "parts")

    def __init__(self) -> None:
        self.call_count = 0
        self.charge_nanos = 0
        self.parts: dict[int, list[int]] = {}
        """By place in METERS: [calls that used it, count, nanos]."""

    def add(self, call_count: int, charge_nanos: int, parts: Iterable[Part]) -> None:
        """More calls."""
        self.call_count += call_count
        self.charge_nanos += charge_nanos
        for meter, calls, count, nanos in parts:
            found = self.parts.get(meter)
            if found is None:
                self.parts[meter] = [calls, count, nanos]
            else:
                found[0] += calls
                found[1] += count
                found[2] += nanos

    def add_one(self, charge_nanos: int, counts: Sequence[int | None], attos: Sequence[int]) -> None:
        """One call more whose charge is taken apart by these prices, as engine/sharing does it."""
        self.call_count += 1
        self.charge_nanos += charge_nanos
        parts = self.parts
        used: list[tuple[list[int], int]] = []
        total = most = 0
        dearest: list[int] | None = None
        for meter, count in enumerate(counts):
            if not count:
                continue
            part = parts.get(meter)
            if part is None:
                part = parts[meter] = [0, 0, 0]
            part[0] += 1
            part[1] += count
            cost = count * attos[meter]
            if cost:
                total += cost
                used.append((part, cost))
                if cost > most:
                    most, dearest = cost, part
        if dearest is None:
            return
        left_nanos = charge_nanos
        for part, cost in used:
            nanos = charge_nanos * cost // total
            part[2] += nanos
            left_nanos -= nanos
        dearest[2] += left_nanos

    def add_sum(self, other: "UsageSum") -> None:
        """All of another sum."""
        self.add(other.call_count, other.charge_nanos, other.flat())

    def flat(self) -> Iterator[Part]:
        """The parts in the order of METERS, as `add` takes them."""
        for meter in sorted(self.parts):
            calls, count, nanos = self.parts[meter]
            yield meter, calls, count, nanos

    def count(self, *meters: Meter) -> int:
        """What these meters counted together."""
        parts = (self.parts.get(METER_INDEX[meter]) for meter in meters)
        return sum(part[1] for part in parts if part is not None)

    def calls_with(self, meter: Meter) -> int:
        """How many calls used this meter."""
        part = self.parts.get(METER_INDEX[meter])
        return part[0] if part else 0

    @property
    def unexplained_nanos(self) -> int:
        """What of the charge no meter has a part of: that of calls whose usage or rate card says no cost."""
        return self.charge_nanos - sum(part[2] for part in self.parts.values())

    def packed(self) -> bytes:
        """The parts as rows keep them."""
        return msgspec.msgpack.encode([number for part in self.flat() for number in part])


SumKey: TypeAlias = tuple[Instant, UsageLabel]
_Said: TypeAlias = tuple[int, int, int, int, int, int]
"""What a record says of its label: worker and epoch, and by their numbers model, key, rate card, service tier and dialect."""


class _Priced:
    """What plain settlements that say the same have in common: their label, and what each meter costs in attos."""

    __slots__ = ("attos", "input_tokens_max", "label")

    def __init__(self, label: UsageLabel, attos: list[int], input_tokens_max: int) -> None:
        self.label = label
        self.attos = attos
        self.input_tokens_max = input_tokens_max
        """With more input than this both are others."""


class UsageSums:
    """Sums of settlements by minute and label. Whoever makes one says what names and rate cards are."""

    def __init__(self, name_of: Callable[[int, int, int], str], card_of: Callable[[int], RateCard | None]) -> None:
        self.sums: dict[SumKey, UsageSum] = {}
        self._name_of = name_of
        self._card_of = card_of
        self._labelled: dict[_Said, _Priced] = {}
        self._open: dict[tuple[_Said, Instant], UsageSum] = {}
        """The sums of those by minute, so that the next settlement of the same finds its own at once."""

    def clear(self) -> None:
        """Nothing is summed any more; what is known of labels and prices stays."""
        self.sums.clear()
        self._open.clear()

    def add_row(self, hold_number: int, record: bytes) -> None:
        """One settlement more, as its row has it: what `add` would add, for a plain one without making records of its bytes."""
        at = settle_offset(record)
        if not at:
            self.add(hold_number, parse_record(record))
            return
        _, key_id, card_id, admitted_at, hold_name, _, _, _ = hold_label(record)
        _, charge_nanos, tier, dialect, settle_name = settle_label(record, at)
        said = (hold_number >> 40, settle_name or hold_name, key_id, card_id, tier, dialect)
        priced = self._labelled.get(said)
        if priced is None:
            priced = self._label(hold_number, parse_record(record), said)
        counts = settle_counts(record, at, METER_COUNT)
        input_tokens = 0
        for index in _INPUT_INDEXES:
            input_tokens += counts[index] or 0
        if input_tokens > priced.input_tokens_max:
            self.add(hold_number, parse_record(record))
            return
        minute = (said, admitted_at // _MINUTE_MICROS)
        found = self._open.get(minute)
        if found is None:
            key = (minute[1] * _MINUTE_MICROS, priced.label)
            found = self.sums.get(key)
            if found is None:
                found = self.sums[key] = UsageSum()
            self._open[minute] = found
        found.add_one(charge_nanos, counts, priced.attos)

    def _label(self, hold_number: int, attempt: AttemptRecord, said: "_Said") -> "_Priced":
        """What plain settlements that say this have in common, while their input is a short one."""
        hold, settle = attempt.hold, attempt.settle
        assert settle is not None  # a plain settlement has one
        label = self._label_of(hold_number, hold, settle, is_long=False)
        card = self._card_of(hold.rate_card_id)
        table = card.internal_prices.get(settle.service_tier) if card else None
        attos = [rate_attos(table.base, meter) or 0 for meter in METERS] if table else [0] * METER_COUNT
        starts = [tier.input_tokens_above for tier in table.tiers] if table else []
        if len(self._labelled) >= _LABELS_KEPT:
            self._labelled.clear()
        priced = self._labelled[said] = _Priced(label, attos, min([LONG_INPUT_TOKENS, *starts]))
        return priced

    def _label_of(self, hold_number: int, hold: HoldRecord, settle: SettleRecord, *, is_long: bool) -> UsageLabel:
        key = hold_key(hold_number)
        name = settle.answered_model_name or hold.model_name
        model = self._name_of(key.worker, key.epoch, name) if name else ""
        return UsageLabel(hold.api_key_id, model, settle.dialect, settle.service_tier, is_long)

    def add(self, hold_number: int, attempt: AttemptRecord) -> None:
        """One settlement more. One that was released consumed nothing and is not counted."""
        hold, settle = attempt.hold, attempt.settle
        if settle is None:
            return
        counts = settle.counts
        is_long = _longest_input_tokens(settle) > LONG_INPUT_TOKENS
        label = self._label_of(hold_number, hold, settle, is_long=is_long)
        at = (floored(hold.admitted_at, MINUTE_SECONDS), label)
        found = self.sums.get(at)
        if found is None:
            found = self.sums[at] = UsageSum()
        shares = shared_out(settle.charge_nanos, self._costs(hold.rate_card_id, settle))
        found.add(
            1, settle.charge_nanos,
            [(meter, 1, count, nanos) for meter, (count, nanos) in enumerate(zip(counts, shares, strict=True)) if count],
        )  # fmt: skip

    def _costs(self, card_id: int, settle: SettleRecord) -> list[int]:
        """What each count costs, in attos: model tokens pass by pass where there are passes (decision 0073), all else by the sums."""
        costs = self._costs_on(card_id, settle.service_tier, settle.counts)
        if settle.passes:
            costs[:TOKEN_METER_COUNT] = [0] * TOKEN_METER_COUNT
            for one in settle.passes:
                of_pass = self._costs_on(one.rate_card_id, one.service_tier, one.counts)
                costs[:TOKEN_METER_COUNT] = map(add, costs[:TOKEN_METER_COUNT], of_pass[:TOKEN_METER_COUNT])
        return costs

    def _costs_on(self, card_id: int, service_tier: str, counts: Sequence[int | None]) -> list[int]:
        card = self._card_of(card_id)
        return meter_costs(card, service_tier, counts) if card else [0] * len(counts)


def _longest_input_tokens(settle: SettleRecord) -> int:
    """The context that the attempt's longest pass of a model saw."""
    passes = [one.counts for one in settle.passes] or [settle.counts]
    return max(sum(counts[index] or 0 for index in _INPUT_INDEXES) for counts in passes)


def floored(at: Instant, seconds: int) -> Instant:
    """The start of the span of so many seconds that `at` is in; spans are counted from 1970 in UTC."""
    return at - at % (seconds * MICROS_PER_SECOND)


def coarser(sums: dict[SumKey, UsageSum], seconds: int) -> dict[SumKey, UsageSum]:
    """The same sums by longer spans."""
    found: dict[SumKey, UsageSum] = {}
    for (start_at, label), one in sums.items():
        at = (floored(start_at, seconds), label)
        if at not in found:
            found[at] = UsageSum()
        found[at].add_sum(one)
    return found


def unpacked(blob: bytes) -> Iterator[Part]:
    """The parts of a row, as `UsageSum.add` takes them."""
    numbers = msgspec.msgpack.decode(blob, type=list[int])
    pairs = iter(numbers)
    return zip(pairs, pairs, pairs, pairs, strict=True)


def cards_of(connection: Connection) -> Callable[[int], RateCard | None]:
    """Rate cards by their ids, each read once; None for one that is not there or cannot be read."""
    known: dict[int, RateCard | None] = {}
    cards = schema.rate_cards

    def card_of(card_id: int) -> RateCard | None:
        if card_id in known:
            return known[card_id]
        if len(known) >= _CARDS_KEPT:
            known.clear()
        card = None
        row = connection.execute(select(cards).where(cards.c.id == card_id)).one_or_none()
        if row is not None:
            with contextlib.suppress(ValueError):
                card = card_from_json(
                    row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at
                )
        known[card_id] = card
        return card

    return card_of


def usage_sums_of(connection: Connection) -> UsageSums:
    """Empty sums that look up what they must know in this connection."""
    return UsageSums(names_of(connection), cards_of(connection))


def usage_rolled_through(connection: Connection) -> int:
    """The last sequence of the journal that usage roll-ups hold; 0 for none."""
    marks = schema.rollup_marks.c
    return connection.scalar(select(marks.ledger_seq).where(marks.name == MARK)) or 0


def add_after(connection: Connection, sums: UsageSums, after_seq: int, limit: int) -> tuple[int, int]:
    """The next settlements after a sequence added to `sums`: how many, and the last one's sequence."""
    rows = raw_connection(connection).execute(_SETTLEMENTS, (after_seq, limit)).fetchall()
    for _, number, record in rows:
        sums.add_row(number, record)
    return len(rows), rows[-1][0] if rows else after_seq


def roll_up_usage(connection: Connection, sums: UsageSums, limit: int = SLICE_SETTLEMENTS) -> int:
    """The next settlements after the mark put into `usage_rollups`; how many. Inside the caller's transaction.

    `sums` is empty, and is emptied again once its sums are rows.
    """
    count, last_seq = add_after(connection, sums, usage_rolled_through(connection), limit)
    if not count:
        return 0
    labels = _label_ids(connection, {label for _, label in sums.sums})
    for seconds in GRAINS_SECONDS:
        by_span = sums.sums if seconds == MINUTE_SECONDS else coarser(sums.sums, seconds)
        _write(connection, seconds, {(at, labels[label]): one for (at, label), one in by_span.items()})
    sums.clear()
    set_mark(connection, MARK, last_seq)
    return count


def _write(connection: Connection, seconds: int, sums: dict[tuple[Instant, int], UsageSum]) -> None:
    raw = raw_connection(connection)
    rows = []
    for (start_at, label_id), one in sorted(sums.items()):
        found = raw.execute(
            "SELECT call_count, charge_nanos, parts FROM usage_rollups WHERE grain_seconds = ? AND start_at = ? AND label_id = ?",
            (seconds, start_at, label_id),
        ).fetchone()
        if found is not None:
            stored = UsageSum()
            stored.add(found[0], found[1], unpacked(found[2]))
            stored.add_sum(one)
            one = stored  # noqa: PLW2901 - what is written is the sum of both
        rows.append((seconds, start_at, label_id, one.call_count, one.charge_nanos, one.packed()))
    raw.executemany(_UPSERT, rows)


def _label_ids(connection: Connection, wanted: Iterable[UsageLabel]) -> dict[UsageLabel, int]:
    raw = raw_connection(connection)
    known: dict[UsageLabel, int] = {}
    for label in sorted(wanted):
        found = raw.execute(_LABEL, label).fetchone()
        if found is None:
            found = raw.execute(_NEW_LABEL, (*label[:4], int(label.is_long))).fetchone()
        known[label] = found[0]
    return known


def labels_by_id(connection: Connection) -> dict[int, UsageLabel]:
    """Every label that any sum has."""
    rows = connection.execute(select(schema.usage_labels))
    return {
        row.id: UsageLabel(row.api_key_id, row.model, row.dialect, row.service_tier, bool(row.is_long)) for row in rows
    }
