"""The bytes of one attempt as rows keep them: its tape records one after another, read back into facts.

A settlements row or an open hold holds HOLD, then the newest EVIDENCE and a LAPSE if there were any, then SETTLE or RELEASE: the
worker's own words, so nothing is lost between tape and ledger and everything can be computed again from them (law 8).
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from tokenroll.engine.drawing import split
from tokenroll.engine.limiting import counted_for
from tokenroll.model.hold import Slice
from tokenroll.model.identifier import HoldKey, call_number
from tokenroll.model.instant import Instant
from tokenroll.model.limit import LIMIT_MEASURES
from tokenroll.model.usage import METERS, Usage
from tokenroll.store import tape
from tokenroll.store.tape import RecordType, TapeError

WORKER_MAX: Final = 127
EPOCH_MAX: Final = (1 << 16) - 1
SEQUENCE_MAX: Final = (1 << 40) - 1
"""A hold key as one positive int64: 7 bits of worker, 16 of epoch, 40 of sequence (a worker restarting hourly lasts 7 years)."""
METER_COUNT: Final = len(METERS)


class Outcome(IntEnum):
    """How an attempt ended in the ledger. `RESOLVED` came out of suspense, by a provider's bill or by the evidence."""

    SETTLED = 1
    RELEASED = 2
    RESOLVED = 3


def hold_number(key: HoldKey) -> int:
    """The hold key as rows keep it."""
    return key.worker << 56 | key.epoch << 40 | key.sequence


def hold_key(number: int) -> HoldKey:
    """The parts of a row's hold key."""
    return HoldKey(number >> 56, number >> 40 & EPOCH_MAX, number & SEQUENCE_MAX)


class LimitRaise(NamedTuple):
    """One counter that a hold raised: which limit's, from when it counts, by how much."""

    limit_id: int
    measure: int
    flags: int
    start_at: Instant
    amount: int


class HoldRecord(NamedTuple):
    """A HOLD of the tape. `…_name` are ids of NAME records of the same worker and epoch, 0 for none."""

    flags: int
    attempt: int
    written_call: int
    """The call number where the record has it, else 0: a short one's follows from its hold key."""
    wallet_id: int
    api_key_id: int
    rate_card_id: int
    admitted_at: Instant
    bound_nanos: int
    needed_nanos: int
    model_name: int
    deployment_name: int
    tags_name: int
    client_call_name: int
    output_cap_tokens: int
    input_bytes: int
    message_count: int
    tool_count: int
    slices: tuple[Slice, ...]
    raises: tuple[LimitRaise, ...] = ()
    """The limits that count it."""

    def call_number(self, number: int) -> int:
        """The number of the call that it is an attempt of; `number` is its own hold key, as rows keep it."""
        return self.written_call or call_number(self.admitted_at // 1000, hold_key(number))


class EvidenceRecord(NamedTuple):
    """What had been seen of an answer at `at`."""

    at: Instant
    answer_bytes: int
    source: int
    finish: int
    status: int
    counts: tuple[int | None, ...]


class LapseRecord(NamedTuple):
    """The hold's worker died, or gave its fate away: to suspense."""

    at: Instant
    answer_bytes: int
    finish: int
    status: int
    stored_name: int = 0
    """Under which name the provider can be asked what became of it."""


class PassRecord(NamedTuple):
    """One pass of a model inside an attempt: what it counted, and the card and tier that price it."""

    rate_card_id: int
    service_tier: str
    counts: tuple[int | None, ...]

    @property
    def usage(self) -> Usage:
        """The counts as the engine takes them."""
        return Usage.from_counts(self.counts)


class SettleRecord(NamedTuple):
    """What the attempt cost and why."""

    at: Instant
    first_byte_at: Instant
    charge_nanos: int
    list_cost_nanos: int
    net_cost_nanos: int
    answer_bytes: int
    source: int
    finish: int
    service_tier: str
    dialect: int
    status: int
    answered_model_name: int
    request_id_name: int
    counts: tuple[int | None, ...]
    passes: tuple[PassRecord, ...] = ()
    """The passes that the counts are the sum of, where they are priced one by one; empty for nearly every attempt."""

    @property
    def usage(self) -> Usage:
        """The counts as the engine takes them."""
        return Usage.from_counts(self.counts)


class ReleaseRecord(NamedTuple):
    """The attempt ended without a charge."""

    at: Instant
    reason: int
    finish: int
    status: int
    leader_sequence: int = 0
    """Of a coalesced call: the sequence of the HOLD whose attempt was answered for both; 0 for all others."""


class AttemptRecord(NamedTuple):
    """Everything that a row's bytes say."""

    hold: HoldRecord
    evidence: EvidenceRecord | None
    lapse: LapseRecord | None
    settle: SettleRecord | None
    release: ReleaseRecord | None

    @property
    def charge_nanos(self) -> int:
        """What the end charged; nothing while open or when released."""
        return self.settle.charge_nanos if self.settle else 0

    @property
    def consumed(self) -> tuple[Slice, ...]:
        """The hold's slices that the charge took, in their order, the company's excess last."""
        return split(self.hold.slices, self.charge_nanos)[0]


def parse_record(record: bytes) -> AttemptRecord:
    """The facts in a row's bytes. Raises TapeError for bytes that no fold would have kept."""
    hold: HoldRecord | None = None
    evidence: EvidenceRecord | None = None
    lapse: LapseRecord | None = None
    settle: SettleRecord | None = None
    release: ReleaseRecord | None = None
    try:
        for kind, offset, length in tape.iter_records(record):
            if hold is None:
                is_short = kind == RecordType.SHORT_HOLD
                hold = _short_hold(record, offset, length) if is_short else _hold(record, offset, kind, length)
            elif settle or release:
                raise TapeError("a record follows the end of its attempt")
            elif kind == RecordType.EVIDENCE:
                evidence = _evidence(record, offset, length)
            elif kind == RecordType.LAPSE:
                lapse = _lapse(record, offset, length)
            elif kind == RecordType.SETTLE:
                settle = _settle(record, offset, length)
            elif kind == RecordType.SHORT_SETTLE:
                settle = _short_settle(record, offset, length, hold.admitted_at)
            elif kind == RecordType.RELEASE:
                release = _release(record, offset, length)
            else:
                raise TapeError(f"a record of type {kind} has no place in an attempt")
    except (struct.error, IndexError, StopIteration) as error:
        raise TapeError(f"an attempt's record is cut: {error}") from error
    if hold is None:
        raise TapeError("an attempt without a hold")
    return AttemptRecord(hold, evidence, lapse, settle, release)


def _picked(layout: struct.Struct, record: bytes, offset: int, places: tuple[int, ...]) -> list[int]:
    values = layout.unpack_from(record, offset)
    return [values[place] for place in places]


def _hold(record: bytes, offset: int, kind: int, length: int) -> HoldRecord:
    values = tape.HOLD.unpack_from(record, offset)
    count = values[4]
    start = offset + tape.HOLD.size
    end = start + count * tape.SLICE.size
    raises: tuple[LimitRaise, ...] = ()
    if kind == RecordType.HOLD and values[1] & tape.HOLD_LIMITED:
        raises, end = _raises(record, end)
    if kind != RecordType.HOLD or length != end - offset:
        raise TapeError(f"a record of type {kind} and {length} bytes is not a hold of {count} slices")
    slices = tuple(Slice(*tape.SLICE.unpack_from(record, start + index * tape.SLICE.size)) for index in range(count))
    return HoldRecord._make((values[1], values[3], int.from_bytes(values[5], "big"), *values[6:], slices, raises))


def _short_hold(record: bytes, offset: int, length: int) -> HoldRecord:
    _, flags, _, wallet_id, key_id, card_id, admitted_at, *names_and_sizes, lot_id, bound = tape.SHORT_HOLD.unpack_from(
        record, offset
    )
    end = offset + tape.SHORT_HOLD.size
    raises: tuple[LimitRaise, ...] = ()
    if flags & tape.HOLD_LIMITED:
        raises, end = _raises(record, end)
    if length != end - offset:
        raise TapeError(f"a short hold of {length} bytes is none")
    needed = bound if flags & tape.HOLD_WOULD_DENY else 0
    head = (flags, 1, 0, wallet_id, key_id, card_id, admitted_at, bound, needed)
    return HoldRecord._make((*head, *names_and_sizes, (Slice(lot_id, bound),), raises))


def _raises(record: bytes, offset: int) -> tuple[tuple[LimitRaise, ...], int]:
    """The limits that a hold raised, and where they end."""
    (count,) = tape.LIMITS_HEAD.unpack_from(record, offset)
    found = []
    offset += tape.LIMITS_HEAD.size
    for _ in range(count):
        limit_id, measure, flags, _, start_at, amount = tape.LIMIT_RAISE.unpack_from(record, offset)
        if measure >= len(LIMIT_MEASURES) or amount < 0:
            raise no_such_raise(limit_id, measure, amount)
        found.append(LimitRaise(limit_id, measure, flags, start_at, amount))
        offset += tape.LIMIT_RAISE.size
    return tuple(found), offset


def no_such_raise(limit_id: int, measure: int, amount: int) -> TapeError:
    """What to raise for a limit that no worker can have raised so."""
    return TapeError(f"limit {limit_id} is raised by {amount} of measure {measure}, which is nothing that counts")


def pack_raises(raises: Sequence[LimitRaise]) -> bytes:
    """What a limited hold's record says behind its slices."""
    parts = [tape.LIMIT_RAISE.pack(one.limit_id, one.measure, one.flags, 0, one.start_at, one.amount) for one in raises]
    return tape.LIMITS_HEAD.pack(len(parts)) + b"".join(parts)


def counted(one: LimitRaise, settle: SettleRecord | None) -> int:
    """What an ended attempt counts in a limit that it had raised (engine/limiting.counted_for); None: it was released."""
    if settle is None:
        return 0
    return counted_for(LIMIT_MEASURES[one.measure], settle.charge_nanos, settle.counts)


def _counts(record: bytes, offset: int, size: int, length: int) -> tuple[int | None, ...]:
    flags = record[offset + 1]
    mask_layout = tape.counts_mask(flags)
    (mask,) = mask_layout.unpack_from(record, offset + size)
    if mask >> METER_COUNT or length != size + mask_layout.size + mask.bit_count() * tape.COUNT.size:
        raise TapeError(f"counts under mask {mask:b} do not fill a record of {length} bytes")
    return tape.unpack_counts(record, offset + size, METER_COUNT, flags)


def _evidence(record: bytes, offset: int, length: int) -> EvidenceRecord:
    at, answer_bytes, source, finish, status = _picked(tape.EVIDENCE, record, offset, (4, 5, 6, 7, 8))
    counts = _counts(record, offset, tape.EVIDENCE.size, length)
    return EvidenceRecord(at, answer_bytes, source, finish, status, counts)


def _lapse(record: bytes, offset: int, length: int) -> LapseRecord:
    name = tape.LAPSE_NAME.unpack_from(record, offset + tape.LAPSE.size)[0] if length > tape.LAPSE.size else 0
    return LapseRecord._make([*_picked(tape.LAPSE, record, offset, (4, 5, 6, 8)), name])


def _release(record: bytes, offset: int, length: int) -> ReleaseRecord:
    size = tape.RELEASE.size
    leader = tape.RELEASE_LEADER.unpack_from(record, offset + size)[0] if length > size else 0
    return ReleaseRecord._make([*_picked(tape.RELEASE, record, offset, (4, 5, 6, 7)), leader])


def _settle(record: bytes, offset: int, length: int) -> SettleRecord:
    _, flags, _, _, at, first_byte_at, charge, list_cost, net_cost, answer_bytes, *rest = tape.SETTLE.unpack_from(
        record, offset
    )
    source, finish, tier, dialect, status, _, answered_model_name, request_id_name = rest
    passes: tuple[PassRecord, ...] = ()
    if flags & tape.SETTLE_PASSES:
        passes, length = _passes(record, offset, length)
    return SettleRecord(
        at, first_byte_at, charge, list_cost, net_cost, answer_bytes, source, finish, tape.SERVICE_TIERS[tier], dialect,
        status, answered_model_name, request_id_name, _counts(record, offset, tape.SETTLE.size, length), passes,
    )  # fmt: skip


def _short_settle(record: bytes, offset: int, length: int, admitted_at: Instant) -> SettleRecord:
    _, flags, _, _, after, first_after, charge, list_cost, net_cost, answer_bytes, how, *rest, mask = (
        tape.SHORT_SETTLE.unpack_from(record, offset)
    )
    tier, dialect, status, answered_model_name, request_id_name = rest
    width = 2 if flags & tape.SHORT_COUNTS else 4
    if mask >> METER_COUNT or length != tape.SHORT_SETTLE.size + mask.bit_count() * width:
        raise TapeError(f"counts under mask {mask:b} do not fill a short settlement of {length} bytes")
    return SettleRecord(
        admitted_at + after, admitted_at + first_after - 1 if first_after else 0, charge, list_cost, net_cost, answer_bytes,
        how & 3, how >> 2, tape.SERVICE_TIERS[tier], dialect, status, answered_model_name, request_id_name,
        tape.settle_counts(record, offset, METER_COUNT),
    )  # fmt: skip


def _passes(record: bytes, offset: int, length: int) -> tuple[tuple[PassRecord, ...], int]:
    """The passes behind a settlement's counts, and how long it is without them."""
    start = place = tape.SETTLE.size + _counts_bytes(record, offset, tape.SETTLE.size)
    (count,) = tape.PASSES_HEAD.unpack_from(record, offset + place)
    place += tape.PASSES_HEAD.size
    found = []
    for _ in range(count):
        card_id, tier = tape.PASS_HEAD.unpack_from(record, offset + place)
        place += tape.PASS_HEAD.size
        end = place + _counts_bytes(record, offset, place)
        found.append(PassRecord(card_id, tape.SERVICE_TIERS[tier], _counts(record, offset, place, end)))
        place = end
    if place != length:
        raise TapeError(f"{count} passes do not fill a settlement of {length} bytes")
    return tuple(found), start


def _counts_bytes(record: bytes, offset: int, place: int) -> int:
    """How long the counts at `place` of the record at `offset` are, mask and all."""
    mask_layout = tape.counts_mask(record[offset + 1])
    (mask,) = mask_layout.unpack_from(record, offset + place)
    return int(mask_layout.size + mask.bit_count() * tape.COUNT.size)


def pack_settle(sequence: int, settle: SettleRecord) -> bytes:
    """A SETTLE record of these facts: for what the ledger resolves itself, and for what is rare at a worker."""
    counts = tape.pack_counts(settle.counts)
    flags = tape.WIDE_COUNTS
    if settle.passes:
        flags |= tape.SETTLE_PASSES
        counts += _packed_passes(settle.passes)
    return (
        tape.SETTLE.pack(
            RecordType.SETTLE, flags, tape.SETTLE.size + len(counts), sequence, settle.at, settle.first_byte_at,
            settle.charge_nanos, settle.list_cost_nanos, settle.net_cost_nanos, settle.answer_bytes, settle.source,
            settle.finish, tape.SERVICE_TIERS.index(settle.service_tier), settle.dialect, settle.status, 0,
            settle.answered_model_name, settle.request_id_name,
        )
        + counts
    )  # fmt: skip


def _packed_passes(passes: Sequence[PassRecord]) -> bytes:
    parts = [tape.PASSES_HEAD.pack(len(passes))]
    for one in passes:
        parts.append(tape.PASS_HEAD.pack(one.rate_card_id, tape.SERVICE_TIERS.index(one.service_tier)))
        parts.append(tape.pack_counts(one.counts))
    return b"".join(parts)


def pack_lapse(sequence: int, lapse: LapseRecord) -> bytes:
    """A LAPSE record."""
    name = tape.LAPSE_NAME.pack(lapse.stored_name) if lapse.stored_name else b""
    return (
        tape.LAPSE.pack(
            RecordType.LAPSE, 0, tape.LAPSE.size + len(name), sequence, lapse.at, lapse.answer_bytes, lapse.finish, 0, lapse.status,
        )
        + name
    )  # fmt: skip


def pack_release(sequence: int, release: ReleaseRecord) -> bytes:
    """A RELEASE record."""
    leader = tape.RELEASE_LEADER.pack(release.leader_sequence) if release.leader_sequence else b""
    return (
        tape.RELEASE.pack(
            RecordType.RELEASE, 0, tape.RELEASE.size + len(leader), sequence, release.at, release.reason, release.finish, release.status,
        )
        + leader
    )  # fmt: skip
