"""Finding out: attempts in suspense whose answers the provider keeps under a name, and what they came to when it says so.

An answer that goes on after its call has ended (a response in the background, a batch) is in suspense from its receipt on: its money is
held and nobody can spend it. It is settled by the provider's own word, as any call is, only later (law 5).
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

from sqlalchemy import select

from tokenroll.engine.bounding import passes_costs
from tokenroll.model.identifier import call_identifier
from tokenroll.model.instant import Instant
from tokenroll.model.limits import AMOUNT_NANOS_MAX, FOUND_USAGES_MAX, PASSES_MAX, UNIT_COUNT_MAX
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import METERS, Usage
from tokenroll.services.hot_prices import INPUT_INDEXES
from tokenroll.services.ledger import Ledger
from tokenroll.services.reconciling import Cards
from tokenroll.services.refusal import Refused
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.attempt_record import PassRecord, SettleRecord, hold_key, parse_record
from tokenroll.store.mirror import OpenHold
from tokenroll.store.tape import SERVICE_TIERS, TapeSource

_HTTP_OK: Final = 200


class Enquiry(NamedTuple):
    """An attempt in suspense and whom to ask about it."""

    hold_key: int
    call_id: str
    deployment: str
    stored_name: str
    lapsed_at: Instant


def enquiry_about(ledger: Ledger, hold: OpenHold) -> Enquiry | None:
    """Whom to ask about an attempt in suspense; None when nobody keeps it under a name."""
    attempt = parse_record(hold.record)
    if attempt.lapse is None or not attempt.lapse.stored_name:
        return None
    key = hold_key(hold.key)
    table = schema.names.c
    query = select(table.name_id, table.text).where(
        table.worker == key.worker, table.epoch == key.epoch, table.name_id.in_([attempt.lapse.stored_name, attempt.hold.deployment_name])
    )  # fmt: skip
    texts = {row.name_id: row.text for row in ledger.connection.execute(query)}
    ledger.connection.rollback()
    return Enquiry(
        hold.key,
        call_identifier(attempt.hold.call_number(hold.key)),
        texts.get(attempt.hold.deployment_name, ""),
        texts.get(attempt.lapse.stored_name, ""),
        attempt.lapse.at,
    )


class _FindAttempt(TypedDict):
    hold: int
    usages: list[list[Any]]
    service_tier: NotRequired[str]
    dialect: int
    is_doubtful: bool


def find_attempt(work: UnitOfWork, arguments: _FindAttempt) -> dict[str, Any]:
    """Settles an attempt in suspense by what its provider says it used. Told again, nothing changes.

    `usages` are the counts of each request behind it, in the order of METERS: each is priced by its own length, and what they come to is
    rounded once. No usages: it ended, and nothing was used. No tier: none was named, as by an answer that was cancelled. `is_doubtful`: the provider contradicts itself, so a bill may still correct it.
    """
    hold = work.open_hold(int(arguments["hold"]))
    if hold is None or hold.lapsed_at is None:
        return {"was_found": False, "charge_nanos": 0, "returned_nanos": 0}
    usages = [_counts(one) for one in arguments["usages"]]
    if len(usages) > FOUND_USAGES_MAX:
        raise Refused("too_many_usages", f"an attempt has at most {FOUND_USAGES_MAX} usages, not {len(usages)}")
    attempt = parse_record(hold.record)
    card = Cards(work.connection).card(attempt.hold.rate_card_id)
    tier = arguments.get("service_tier", "")
    if tier not in card.internal_prices:
        tier = next((one for one in SERVICE_TIERS if one in card.internal_prices), SERVICE_TIERS[0])
    groups = _grouped(card, tier, usages)
    whole = Usage.from_counts(_sums(usages))
    passes = tuple(PassRecord(card.id, tier, one) for one in groups) if len(groups) > 1 else ()
    priced = [(card, tier, Usage.from_counts(one)) for one in groups]
    charge, list_cost, net_cost, is_priced = passes_costs(card, tier, whole, priced)
    if not is_priced or max(charge, list_cost, net_cost) > AMOUNT_NANOS_MAX:
        what = "something in it has no price" if not is_priced else "it costs more than one attempt may"
        raise Refused("unpriced", f"{what}; it stays in suspense until a bill or its age decides")
    lapse = attempt.lapse
    assert lapse is not None
    settle = SettleRecord(
        at=work.now, first_byte_at=0, charge_nanos=charge, list_cost_nanos=list_cost, net_cost_nanos=net_cost,
        answer_bytes=lapse.answer_bytes, source=int(TapeSource.ESTIMATED if arguments["is_doubtful"] else TapeSource.REPORTED),
        finish=lapse.finish, service_tier=tier, dialect=int(arguments["dialect"]), status=lapse.status or _HTTP_OK,
        answered_model_name=0, request_id_name=lapse.stored_name, counts=whole.counts, passes=passes,
    )  # fmt: skip
    returned = work.resolve(hold, settle)
    return {"was_found": True, "charge_nanos": charge, "returned_nanos": returned}


def _counts(said: Sequence[Any]) -> tuple[int | None, ...]:
    """Counts as a command carries them. Raises Refused."""
    sound = len(said) == len(METERS) and all(
        one is None or (isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= UNIT_COUNT_MAX)
        for one in said
    )
    if not sound:
        raise Refused("usage", f"a usage is {len(METERS)} counts from 0 to {UNIT_COUNT_MAX} or null, not {said!r:.200}")
    return tuple(said)


def _sums(usages: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    sums: list[int | None] = [None] * len(METERS)
    for counts in usages:
        for index, count in enumerate(counts):
            if count is not None:
                sums[index] = min((sums[index] or 0) + count, UNIT_COUNT_MAX)
    return tuple(sums)


def _grouped(card: RateCard, tier: str, usages: list[tuple[int | None, ...]]) -> list[tuple[int | None, ...]]:
    """The usages in as few sums as are priced alike: where long contexts cost more, short ones together are no long one.

    Raises Refused for more groups than one settlement may tell apart.
    """
    tables = [prices[tier] for prices in (card.internal_prices, card.list_prices, card.net_prices) if tier in prices]
    starts = [step.input_tokens_above for table in tables for step in table.tiers]
    if not starts:
        return [_sums(usages)]
    groups: list[list[tuple[int | None, ...]]] = []
    long_from, room = min(starts), 0
    for counts in usages:
        length = sum(counts[index] or 0 for index in INPUT_INDEXES)
        if not groups or length > room:
            groups.append([])
            room = max(long_from, length)
        groups[-1].append(counts)
        room -= length
    if len(groups) > PASSES_MAX:
        raise Refused("too_many_usages", f"{len(groups)} sums that are priced apart, more than {PASSES_MAX}")
    return [_sums(one) for one in groups] or [_sums(usages)]
