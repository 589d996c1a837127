"""The story of one call: everything from its bound to its place in the chain, computed again from its own records.

Plain values under names with suffixes (`_nanos`, `_at`), so that every door can show them; nothing here is decided twice.
"""

from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from tokenroll.engine.bounding import (
    TEXT_INPUT_METERS,
    BoundRates,
    CallSize,
    answering_tiers,
    bound_nanos_at,
    card_bound,
    input_tokens_max,
)
from tokenroll.engine.chaining import leaf_hash, merkle_proof, verify_proof
from tokenroll.engine.drawing import split
from tokenroll.engine.posting import resolve_postings, settlement_postings, suspend_postings
from tokenroll.engine.rating import UnpricedError, card_from_json, rate_attos, rates_for, round_half_even
from tokenroll.model.amount import ATTOS_PER_NANO
from tokenroll.model.entry import Account, Entry, EntryKind, Posting
from tokenroll.model.hold import Slice
from tokenroll.model.identifier import IdentifierError, call_identifier, hold_key_from_call
from tokenroll.model.rate_card import RateCard
from tokenroll.model.tag import TAG_NAMES, tag_value
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, METERS, TOKEN_METER_COUNT
from tokenroll.store import schema
from tokenroll.store.attempt_record import (
    AttemptRecord,
    HoldRecord,
    Outcome,
    SettleRecord,
    hold_key,
    hold_number,
    parse_record,
)
from tokenroll.store.cache_aids import cache_aid, marks_effect
from tokenroll.store.journal import command_leaf, entry_leaf, fact_leaf, settlement_leaf
from tokenroll.store.tape import (
    HOLD_CAP_INJECTED,
    HOLD_STREAM,
    HOLD_WOULD_DENY,
    SERVICE_TIERS,
    Finish,
    TapeRelease,
    TapeSource,
)

_DIALECTS: Final = (
    "openai", "anthropic", "openai responses", "openai completions", "openai embeddings", "openai moderations", "openai rerank",
    "openai rerank", "openai image generations", "openai image edits", "openai speech", "openai transcriptions",
    "openai translations", "anthropic batches", "openai batches", "openai fine-tuning",
)  # fmt: skip
"""By what a settlement's record says."""


def call_story(connection: Connection, call_id: str) -> dict[str, Any] | None:
    """All attempts of a call with bound, slices, rates, usage, settlement, postings and chain link; None for no such call.

    `call_id` is ours (`call_…`) or the client's own, if only one key used it; `calls_named` says which calls have one.
    """
    found = _first_keys(connection, call_id)
    if len(found) != 1:
        return None
    first = found[0]
    attempts = schema.attempts.c
    later = connection.scalars(select(attempts.hold_key).where(attempts.call_key == first).order_by(attempts.attempt))
    stories = [story for key in (first, *later) if (story := _attempt_story(connection, key)) is not None]
    if not stories:
        return None
    return {
        "call": stories[0].pop("call"),
        "attempts": [{k: v for k, v in one.items() if k != "call"} for one in stories],
    }


def calls_named(connection: Connection, call_id: str) -> list[dict[str, Any]]:
    """The calls that have this id, which is more than one where several keys used the same: our id, wallet and time of each."""
    found = []
    for key in _first_keys(connection, call_id):
        settled, opened = _rows(connection, key)
        row = settled or opened
        if row is not None:
            hold = parse_record(row.record).hold
            found.append(
                {"call": call_identifier(hold.call_number(row.hold_key)), "wallet": _wallet(connection, hold.wallet_id), "admitted_at": hold.admitted_at}
            )  # fmt: skip
    return found


def _first_keys(connection: Connection, call_id: str) -> list[int]:
    try:
        return [hold_number(hold_key_from_call(call_id))]
    except IdentifierError:
        calls = schema.client_calls.c
        named = select(calls.hold_key).where(calls.client_call_id == call_id).order_by(calls.hold_key)
        return list(connection.scalars(named))


def _rows(connection: Connection, key: int) -> tuple[Row[Any] | None, Row[Any] | None]:
    settlements, holds = schema.settlements, schema.holds
    settled = connection.execute(select(settlements).where(settlements.c.hold_key == key)).one_or_none()
    return settled, connection.execute(select(holds).where(holds.c.hold_key == key)).one_or_none()


def _attempt_story(connection: Connection, key: int) -> dict[str, Any] | None:
    settled, opened = _rows(connection, key)
    row = settled or opened
    if row is None:
        return None
    attempt = parse_record(row.record)
    hold = attempt.hold
    names = _Names(connection, key)
    card = _card(connection, hold.rate_card_id)
    worker, epoch, sequence = hold_key(key)
    story: dict[str, Any] = {
        "call": call_identifier(hold.call_number(key)),
        "attempt": hold.attempt,
        "hold_key": f"{worker}/{epoch}/{sequence}",
        "state": Outcome(settled.outcome).name.lower() if settled else opened.state if opened else "",
        "wallet": _wallet(connection, hold.wallet_id),
        "key": _key(connection, hold.api_key_id),
        "model": names[hold.model_name],
        "deployment": names[hold.deployment_name],
        "tags": names[hold.tags_name],
        **{name.replace("-", "_"): tag_value(names[hold.tags_name], name) for name in TAG_NAMES},
        "client_call_id": names[hold.client_call_name],
        "stream": bool(hold.flags & HOLD_STREAM),
        "would_deny": bool(hold.flags & HOLD_WOULD_DENY),
        "cache_aid": cache_aid(hold.flags),
        "needed_nanos": hold.needed_nanos,
        "admitted_at": hold.admitted_at,
        "dispatched_at": opened.dispatched_at if opened else None,
        "lapsed_at": attempt.lapse.at if attempt.lapse else None,
        "stored_as": names[attempt.lapse.stored_name] if attempt.lapse else "",
        "rate_card": None if card is None else {"id": card.public_id, "digest": card.digest, "model": card.model, "provider": card.provider},
        "bound": _bound(card, hold),
        "slices": _slices(connection, hold.slices),
        "evidence": _evidence(attempt),
    }  # fmt: skip
    if settled is not None:
        story |= _ending(connection, settled, attempt, card, names)
    return story


def _bound(card: RateCard | None, hold: HoldRecord) -> dict[str, Any]:
    """The arithmetic of the hold: bytes and overheads as input tokens, the cap as output tokens, each at the dearest rate."""
    said: dict[str, Any] = {
        "input_bytes": hold.input_bytes,
        "message_count": hold.message_count,
        "tool_count": hold.tool_count,
        "output_cap_tokens": hold.output_cap_tokens,
        "output_cap_injected": bool(hold.flags & HOLD_CAP_INJECTED),
        "hold_nanos": hold.bound_nanos,
    }
    if card is None:
        return said
    size = CallSize(
        input_bytes=hold.input_bytes, message_count=hold.message_count, output_cap_tokens=hold.output_cap_tokens,
        tool_count=hold.tool_count, has_tools=hold.tool_count > 0,
    )  # fmt: skip
    tier, rates = _bound_rates(card, size, hold.bound_nanos)
    return said | {
        "service_tier": tier,
        "overhead_tokens_per_message": card.overhead_tokens_per_message,
        "overhead_tokens_per_request_with_tools": card.overhead_tokens_per_request_with_tools,
        "overhead_tokens_per_tool": card.overhead_tokens_per_tool,
        "input_tokens_max": input_tokens_max(rates, size),
        "input_attos_per_token": rates.input_attos,
        "output_attos_per_token": rates.output_attos,
        "request_attos": rates.request_attos,
        "computed_nanos": bound_nanos_at(rates, size),
    }


def _bound_rates(card: RateCard, size: CallSize, hold_nanos: int) -> tuple[str, BoundRates]:
    """The tier by whose rates this size comes to this hold, whose record names none, and the rates; none do: the standard tier.

    Holds were once made at the named tier alone, so each is also tried alone (decision 0111).
    """
    for tier in SERVICE_TIERS:
        for tiers in (answering_tiers(tier), (tier,)):
            for meters in (INPUT_METERS, TEXT_INPUT_METERS):
                with suppress(UnpricedError):
                    rates = card_bound(card, tiers, meters)
                    if bound_nanos_at(rates, size) == hold_nanos:
                        return tier, rates
    return SERVICE_TIERS[0], card_bound(card, SERVICE_TIERS[:1])


def _ending(
    connection: Connection, row: Row[Any], attempt: AttemptRecord, card: RateCard | None, names: "_Names"
) -> dict[str, Any]:
    consumed, returned = split(attempt.hold.slices, attempt.charge_nanos)
    ending: dict[str, Any] = {
        "ledger_seq": row.ledger_seq,
        "cycle": row.cycle,
        "charge_nanos": row.charge_nanos,
        "consumed": _slices(connection, consumed),
        "returned": _slices(connection, returned),
        "postings": [
            {"account": leg.account.value, "wallet_id": leg.wallet_id, "lot_id": leg.lot_id, "nanos": leg.nanos}
            for leg in _postings(connection, row, attempt, consumed)
        ],
        "chain": _chain_link(connection, row.ledger_seq),
    }
    came_to = marks_effect(attempt, lambda card_id: _card(connection, card_id))
    if came_to is not None:
        saved, lost = came_to
        ending["marks_saved_nanos"] = round_half_even(saved - lost, ATTOS_PER_NANO)
    if attempt.settle is not None:
        ending |= _settlement(connection, attempt.settle, card, names)
    elif attempt.release is not None:
        release = attempt.release
        ending |= {
            "ended_at": release.at, "status": release.status, "reason": TapeRelease(release.reason).name.lower(),
            "finish": Finish(release.finish).name.lower(), "answered_by": _leader(connection, row.hold_key, release.leader_sequence),
        }  # fmt: skip
    return ending


def _leader(connection: Connection, key: int, sequence: int) -> str:
    """The call whose answer a coalesced one got; "" for all others."""
    if not sequence:
        return ""
    key = hold_number(hold_key(key)._replace(sequence=sequence))
    for table in (schema.settlements, schema.holds):
        record = connection.scalar(select(table.c.record).where(table.c.hold_key == key))
        if record is not None:
            return call_identifier(parse_record(record).hold.call_number(key))
    return ""


def _settlement(connection: Connection, settle: SettleRecord, card: RateCard | None, names: "_Names") -> dict[str, Any]:
    return {
        "ended_at": settle.at,
        "first_byte_at": settle.first_byte_at or None,
        "status": settle.status,
        "finish": Finish(settle.finish).name.lower(),
        "dialect": _DIALECTS[settle.dialect] if settle.dialect < len(_DIALECTS) else "",
        "service_tier": settle.service_tier,
        "usage_source": TapeSource(settle.source).name.lower(),
        "answered_model": names[settle.answered_model_name],
        "request_id": names[settle.request_id_name],
        "answer_bytes": settle.answer_bytes,
        "list_cost_nanos": settle.list_cost_nanos,
        "net_cost_nanos": settle.net_cost_nanos,
        "rates": _rates(connection, card, settle),
    }


def _rates(connection: Connection, card: RateCard | None, settle: SettleRecord) -> list[dict[str, Any]]:
    """Each meter that was reported: count × atto-credits, whose sum, rounded once, is the charge. Of several passes, pass by pass."""
    if not settle.passes:
        return _rate_lines(card, settle.service_tier, settle.counts)
    fees = (None,) * TOKEN_METER_COUNT + settle.counts[TOKEN_METER_COUNT:]
    lines = []
    for number, one in enumerate(settle.passes, 1):
        of = _card(connection, one.rate_card_id)
        found = _rate_lines(of, one.service_tier, one.counts[:TOKEN_METER_COUNT])
        lines += [{"pass": number, "model": of.model if of else "", **line} for line in found]
    return lines + _rate_lines(card, settle.service_tier, fees)


def _rate_lines(card: RateCard | None, service_tier: str, counts: tuple[int | None, ...]) -> list[dict[str, Any]]:
    table = None if card is None else card.internal_prices.get(service_tier)
    if table is None:
        return []
    rates = rates_for(table, sum(counts[METER_INDEX[meter]] or 0 for meter in INPUT_METERS))
    return [
        {"meter": meter.value, "count": count, "attos_per_unit": rate_attos(rates, meter), "attos": (rate_attos(rates, meter) or 0) * count}
        for meter, count in zip(METERS, counts, strict=False)
        if count is not None
    ]  # fmt: skip


def _postings(
    connection: Connection, row: Row[Any], attempt: AttemptRecord, consumed: tuple[Slice, ...]
) -> tuple[Posting, ...]:
    """The row's postings: they are a function of it and stored nowhere (DESIGN §7.3)."""
    slices = attempt.hold.slices
    lots = schema.lots.c
    owners: dict[int, int] = {
        found[0]: found[1]
        for found in connection.execute(
            select(lots.id, lots.wallet_id).where(lots.id.in_([lot_id for lot_id, _ in slices]))
        )
    }
    if row.outcome == Outcome.RESOLVED:
        return suspend_postings(row.wallet_id, slices, owners) + resolve_postings(
            row.wallet_id, slices, consumed, owners
        )
    return settlement_postings(row.wallet_id, consumed, owners)


def _chain_link(connection: Connection, seq: int) -> dict[str, Any] | None:
    """The row's place in the chain with a proof that was checked just now."""
    table = schema.batches
    batch = connection.execute(
        select(table).where(table.c.last_seq >= seq).order_by(table.c.last_seq).limit(1)
    ).one_or_none()
    if batch is None or batch.first_seq > seq:
        return None
    leaves = batch_leaves(connection, batch.first_seq, batch.last_seq)
    index = seq - batch.first_seq
    proof = merkle_proof(leaves, index)
    return {
        "batch": batch.number,
        "closed_at": batch.closed_at,
        "leaf_index": index,
        "leaf_count": len(leaves),
        "leaf_hash": leaf_hash(leaves[index]).hex(),
        "root": batch.root.hex(),
        "batch_hash": batch.hash.hex(),
        "previous_hash": batch.previous_hash.hex(),
        "proof": [[one.hex() for one in level] for level in proof],
        "proof_verified": verify_proof(leaves[index], index, len(leaves), proof, batch.root),
    }


def batch_leaves(connection: Connection, first: int, last: int) -> list[bytes]:
    """The leaves of a batch's rows in their order."""
    leaves: dict[int, bytes] = {}
    table = schema.settlements
    for row in connection.execute(select(table).where(table.c.ledger_seq.between(first, last))):
        leaves[row.ledger_seq] = settlement_leaf(
            row.ledger_seq, row.hold_key, row.previous_seq, row.cycle, row.outcome, row.record
        )
    for seq, entry in read_entries(connection, first, last):
        leaves[seq] = entry_leaf(seq, entry)
    facts, commands = schema.facts, schema.commands
    for row in connection.execute(select(facts).where(facts.c.ledger_seq.between(first, last))):
        leaves[row.ledger_seq] = fact_leaf(row.ledger_seq, row.noun, row.row_id, row.digest)
    for row in connection.execute(select(commands).where(commands.c.ledger_seq.between(first, last))):
        leaves[row.ledger_seq] = command_leaf(row.ledger_seq, row.id, row.name, row.body_digest, row.result_json)
    return [leaves[seq] for seq in sorted(leaves)]


def read_entries(connection: Connection, first: int, last: int) -> list[tuple[int, Entry]]:
    """The entries between two ledger sequences. Raises AssertionError for one out of balance."""
    legs: dict[int, list[Posting]] = {}
    table, entries = schema.postings, schema.entries
    query = select(table).where(table.c.ledger_seq.between(first, last)).order_by(table.c.ledger_seq, table.c.leg)
    for row in connection.execute(query):
        posting = Posting(account=Account(row.account), wallet_id=row.wallet_id, lot_id=row.lot_id, nanos=row.nanos)
        legs.setdefault(row.ledger_seq, []).append(posting)
    rows = connection.execute(select(entries).where(entries.c.ledger_seq.between(first, last)))
    return [
        (
            row.ledger_seq,
            Entry(
                public_id=row.public_id, kind=EntryKind(row.kind), effective_at=row.effective_at,
                recorded_at=row.recorded_at, postings=tuple(legs.get(row.ledger_seq, ())), reference=row.reference,
            ),
        )
        for row in rows
    ]  # fmt: skip


class _Names:
    """Texts that an attempt's tape gave numbers to."""

    def __init__(self, connection: Connection, key: int) -> None:
        self._connection = connection
        self._worker, self._epoch, _ = hold_key(key)

    def __getitem__(self, name_id: int) -> str:
        if not name_id:
            return ""
        names = schema.names.c
        same = (names.worker == self._worker, names.epoch == self._epoch, names.name_id == name_id)
        return self._connection.scalar(select(names.text).where(*same)) or ""


def _card(connection: Connection, card_id: int) -> RateCard | None:
    table = schema.rate_cards
    row = connection.execute(select(table).where(table.c.id == card_id)).one_or_none()
    if row is None:
        return None
    return card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)


def _slices(connection: Connection, slices: tuple[Slice, ...]) -> list[dict[str, Any]]:
    lots, grants = schema.lots, schema.grants
    query = select(lots.c.id, lots.c.classification, grants.c.public_id).join(grants, grants.c.id == lots.c.grant_id)
    known = {row.id: row for row in connection.execute(query.where(lots.c.id.in_([one.lot_id for one in slices])))}
    return [
        {
            "lot_id": lot_id,
            "nanos": nanos,
            "grant": known[lot_id].public_id if lot_id in known else None,
            "classification": known[lot_id].classification if lot_id in known else "company",
        }
        for lot_id, nanos in slices
    ]


def _wallet(connection: Connection, wallet_id: int) -> dict[str, Any]:
    wallets = schema.wallets.c
    row = connection.execute(select(wallets.public_id, wallets.name).where(wallets.id == wallet_id)).one_or_none()
    return {"id": row.public_id, "name": row.name} if row else {}


def _key(connection: Connection, key_id: int) -> dict[str, Any]:
    keys = schema.api_keys.c
    row = connection.execute(
        select(keys.public_id, keys.name, keys.shown_prefix).where(keys.id == key_id)
    ).one_or_none()
    return {"id": row.public_id, "name": row.name, "shown_prefix": row.shown_prefix} if row else {}


def _evidence(attempt: AttemptRecord) -> dict[str, Any] | None:
    evidence = attempt.evidence
    if evidence is None:
        return None
    counts = {meter.value: count for meter, count in zip(METERS, evidence.counts, strict=True) if count is not None}
    return {"seen_at": evidence.at, "answer_bytes": evidence.answer_bytes, "status": evidence.status, "usage": counts}
