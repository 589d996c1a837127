"""The ledger beside a provider's reports, and true-ups booked on request: what is looked at is changed by nobody who looks.

A true-up is named by its id, which covers the report's figures and the attempts behind it. The command computes the comparison anew
from the figures it is told, so that nothing is booked that is not proposed at that moment.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final, NamedTuple, TypedDict

import msgspec
from sqlalchemy import Connection, func, select

from tokenroll.books.provider_reports import (
    ALL,
    Line,
    OurAttempt,
    Ours,
    Part,
    Told,
    TrueUp,
    Why,
    line_of,
    report_counts,
)
from tokenroll.engine.rating import card_from_json
from tokenroll.model.entry import Account, EntryKind
from tokenroll.model.identifier import call_identifier
from tokenroll.model.instant import DAY_MICROS, Instant, instant_from_datetime
from tokenroll.model.limits import TRUE_UPS_MAX
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services.list_prices import ListPrices
from tokenroll.services.reconciling import BillRow, Cards, book_estimate, settle_from_report
from tokenroll.services.refusal import Refused
from tokenroll.services.report_reading import KeyNames, ModelNames, Reports, day_of
from tokenroll.services.unit_of_work import UnitOfWork
from tokenroll.store import schema
from tokenroll.store.attempt_record import AttemptRecord, Outcome, hold_key, parse_record
from tokenroll.store.rollups import names_of
from tokenroll.store.tape import TapeSource

COMMAND: Final = "reconcile.true_up"
_REQUEST: Final = METER_INDEX[Meter.REQUEST]
_SEQ_MAX: Final = (1 << 63) - 1
_SUSPENSE: Final = "suspense"
_CLOCKS_MICROS: Final = DAY_MICROS
"""How far the clock of a worker and that of the ledger may lie apart: more than any that is set at all."""


class _Place(NamedTuple):
    """Where an attempt counts: the smallest part that any report tells apart."""

    day: str
    provider: str
    model: str
    deployment: str


def model_names(connection: Connection) -> ModelNames:
    """Models as the company's rate cards call them."""
    table = schema.rate_cards
    return ModelNames(
        ListPrices(
            card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)
            for row in connection.execute(select(table).order_by(table.c.id))
        )
    )


class _Ledger:
    """What the ledger has of some days, by place."""

    def __init__(self, connection: Connection, names: ModelNames, days: Collection[str]) -> None:
        self._connection = connection
        self._names = names
        self._days = days
        self._cards = Cards(connection)
        self._name_of = names_of(connection)
        self.places: dict[_Place, Ours] = {}
        self._models: dict[tuple[str, str], dict[str, list[_Place]]] = {}
        if days:
            first, last = _start(min(days)), _start(max(days)) + DAY_MICROS
            self._booked = dict(_booked(connection, first - DAY_MICROS))
            self._read(first - DAY_MICROS, last)

    def _read(self, from_at: Instant, until: Instant) -> None:
        table = schema.settlements.c
        after = self._last_before(from_at - _CLOCKS_MICROS)
        query = select(table.hold_key, table.outcome, table.record).where(
            table.ledger_seq > after, table.admitted_at >= from_at, table.admitted_at < until, table.outcome != Outcome.RELEASED
        )  # fmt: skip
        for row in self._connection.execute(query.order_by(table.ledger_seq)):
            self._settled(row.hold_key, parse_record(row.record), ended_in_call=row.outcome == Outcome.SETTLED)
        holds = schema.holds.c
        for key, state, record in self._connection.execute(
            select(holds.hold_key, holds.state, holds.record).order_by(holds.hold_key)
        ):
            attempt = parse_record(record)
            if from_at <= attempt.hold.admitted_at < until:
                self._open(key, attempt, is_checked=state == _SUSPENSE)

    def _last_before(self, at: Instant) -> int:
        """A row of the journal after which everything of that time is, also where a clock was set back since."""
        batches = schema.batches.c
        first = self._connection.scalar(select(func.min(batches.first_seq)).where(batches.closed_at >= at))
        return _SEQ_MAX if first is None else first - 1

    def _place(self, key: int, attempt: AttemptRecord, card: RateCard, day: str) -> Ours:
        place = hold_key(key)

        def name(name_id: int) -> str:
            return self._name_of(place.worker, place.epoch, name_id) if name_id else ""

        settle = attempt.settle
        model = (name(settle.answered_model_name) if settle else "") or name(attempt.hold.model_name) or card.model
        found = _Place(
            day, card.provider, self._names.name(card.provider, model, attempt.hold.admitted_at), name(attempt.hold.deployment_name)
        )  # fmt: skip
        if found not in self.places:
            self._models.setdefault((found.day, found.provider), {}).setdefault(found.model, []).append(found)
        return self.places.setdefault(found, Ours())

    def of(self, part: Part) -> Ours:
        """All that is in a part."""
        models = self._models.get((part.day, part.provider), {})
        ours = Ours()
        for places in models.values() if part.model == ALL else (models.get(part.model, ()),):
            for place in places:
                if _has(part, place):
                    ours.add(self.places[place])
        return ours

    def _settled(self, key: int, attempt: AttemptRecord, *, ended_in_call: bool) -> None:
        """A settled attempt. What came out of suspense ended when nobody saw it, and says nothing of midnights."""
        settle = attempt.settle
        if settle is None:
            return
        card = self._cards.card(attempt.hold.rate_card_id)
        one = _our_attempt(key, attempt, card, settle.service_tier, settle.counts, settle.net_cost_nanos)
        if not ended_in_call and not any(one.counts):  # proven to be nothing: the provider never counted the request
            one = one._replace(request_count=0)
        day, last = day_of(attempt.hold.admitted_at), day_of(max(settle.at, attempt.hold.admitted_at))
        crossed = ended_in_call and last != day
        if crossed and last in self._days:
            self._place(key, attempt, card, last).arriving.append(one)
        if day not in self._days:
            return
        ours = self._place(key, attempt, card, day)
        if crossed:
            ours.leaving.append(one)
        counts = ours.tiers.setdefault(one.tier, [0] * len(METERS))
        for place, count in enumerate(one.counts):
            counts[place] += count
        ours.currencies.add(card.currency)
        ours.attempt_count += 1
        ours.request_count += one.request_count
        ours.cost_nanos += one.cost_nanos
        booked = self._booked.get((one.call_id, one.attempt))
        ours.booked_nanos += booked or 0
        if booked is not None:
            ours.trued_up_count += 1
        elif settle.source == TapeSource.ESTIMATED:
            ours.estimated.append(one)

    def _open(self, key: int, attempt: AttemptRecord, *, is_checked: bool) -> None:
        day = day_of(attempt.hold.admitted_at)
        if day not in self._days:
            return
        card = self._cards.card(attempt.hold.rate_card_id)
        ours = self._place(key, attempt, card, day)
        ours.currencies.add(card.currency)
        if is_checked:
            counts = attempt.evidence.counts if attempt.evidence else ()
            tier = "standard" if "standard" in card.net_prices else next(iter(card.net_prices), "standard")
            ours.checked.append(_our_attempt(key, attempt, card, tier, counts, 0))
        else:
            ours.under_way_count += 1


def _our_attempt(
    key: int, attempt: AttemptRecord, card: RateCard, tier: str, counts: Sequence[int | None], cost_nanos: int
) -> OurAttempt:
    requests = counts[_REQUEST] if len(counts) > _REQUEST else None
    return OurAttempt(
        call_identifier(attempt.hold.call_number(key)), attempt.hold.attempt, key, attempt.hold.admitted_at, tier,
        tuple(report_counts(counts)), cost_nanos, attempt.hold.bound_nanos, card, requests or 1,
    )  # fmt: skip


def _booked(connection: Connection, from_at: Instant) -> Iterator[tuple[tuple[str, int], int]]:
    """What was booked of attempts as provider variance since, by call and attempt: nothing is booked before its attempt was made."""
    variances, entries, postings = schema.variances.c, schema.entries.c, schema.postings.c
    query = (
        select(variances.call_id, variances.attempt, postings.nanos)
        .join(schema.entries, entries.ledger_seq == variances.ledger_seq)
        .join(schema.postings, postings.ledger_seq == variances.ledger_seq)
        .where(
            entries.kind == EntryKind.VARIANCE.value, entries.effective_at >= from_at,
            postings.account == Account.PROVIDER_VARIANCE.value,
        )
    )  # fmt: skip
    for call_id, attempt, nanos in connection.execute(query):
        yield (call_id, attempt), nanos


def _start(day: str) -> Instant:
    return instant_from_datetime(datetime.combine(date.fromisoformat(day), time(), UTC))


def compared(connection: Connection, reports: Reports, keys: KeyNames, names: ModelNames) -> list[Line]:
    """Every part that the reports tell of a whole day, and what the ledger has of those days that they do not tell."""
    days = {day for found in reports.whole_days.values() for day in found}
    ledger = _Ledger(connection, names, days)
    lines = [_line(told, ledger, names) for told in reports.told]
    unseen: dict[Part, Ours] = {}
    parts: dict[tuple[str, str, str], list[Part]] = {}
    for told in reports.told:
        parts.setdefault(told.part[:3], []).append(told.part)
    for place, ours in ledger.places.items():
        is_judged = place.day in reports.whole_days.get(place.provider, ())
        near = (*parts.get(place[:3], ()), *parts.get((place.day, place.provider, ALL), ()))
        if ours.is_empty or not is_judged or any(_has(one, place) for one in near):
            continue
        apart = keys.tells_apart(place.provider)
        key = keys.label(place.provider, place.deployment) if apart else ALL
        part = Part(place.day, place.provider, place.model, key, (place.deployment,) if apart else None)
        unseen.setdefault(part, Ours()).add(ours)
    lines += [line_of(None, ours, part, None) for part, ours in unseen.items()]
    return sorted(_prices_told(lines), key=lambda one: one.part[:4])


def _line(told: Told, ledger: _Ledger, names: ModelNames) -> Line:
    part = told.part
    card = names.cards.card(part.provider, part.model, _start(part.day)) if part.model != ALL else None
    return line_of(told, ledger.of(part), part, card)


def _has(part: Part, place: _Place) -> bool:
    return (
        part.day == place.day
        and part.provider == place.provider
        and part.model in {ALL, place.model}
        and (part.deployments is None or place.deployment in part.deployments)
    )


def _prices_told(lines: Iterable[Line]) -> Iterator[Line]:
    """Costs that differ where all counts agree differ by price: an invoice without counts does not know by itself."""
    found = list(lines)
    agree: dict[tuple[str, str, str], bool] = {}
    for one in found:
        if one.told is not None and one.told.meters:
            at = one.part[:3]
            agree[at] = agree.get(at, True) and one.is_sound
    for one in found:
        is_costs = one.told is not None and not one.told.meters
        if is_costs and agree.get(one.part[:3]) and {Why.MORE_TOLD, Why.LESS_TOLD} & set(one.why):
            yield Line(
                part=one.part, told=one.told, ours=one.ours, provider_cost_nanos=one.provider_cost_nanos,
                difference_cost_nanos=one.difference_cost_nanos, why=(Why.PRICE,),
            )  # fmt: skip
        else:
            yield one


# ---- booking ------------------------------------------------------------------------------------------------------------


class _TrueUps(TypedDict):
    told: list[dict[str, Any]]
    true_ups: list[str]


@dataclass(slots=True)
class _Done:
    settled_count: int = 0
    charged_nanos: int = 0
    returned_nanos: int = 0
    booked_count: int = 0
    booked_cost_nanos: int = 0


def book_true_ups(work: UnitOfWork, arguments: _TrueUps) -> dict[str, Any]:
    """Books true-ups by their ids: what is checked is settled as by a bill, what was estimated is the company's provider variance.

    `told`: the parts of the report that they are of. Nothing is booked if one of them is no longer proposed.
    """
    wanted = arguments["true_ups"]
    if len(wanted) > TRUE_UPS_MAX or len(arguments["told"]) > TRUE_UPS_MAX:
        raise Refused("true_up", f"a command books up to {TRUE_UPS_MAX} true-ups: name fewer at a time")
    told = [_told_from(one) for one in arguments["told"]]
    names = model_names(work.connection)
    ledger = _Ledger(work.connection, names, {one.part.day for one in told})
    proposed: dict[str, TrueUp] = {}
    for one in told:
        proposed |= {true_up.id: true_up for true_up in _line(one, ledger, names).true_ups}
    missing = [one for one in wanted if one not in proposed]
    if missing:
        message = (
            f"{missing[0]} is not proposed: it is booked already, or what it was made of has changed since; "
            "nothing is booked, look again with the same report"
        )
        raise Refused("not_proposed", message)
    done = _Done()
    for name in dict.fromkeys(wanted):
        _book(work, proposed[name], done)
    return {
        "true_ups": list(dict.fromkeys(wanted)),
        "settled_count": done.settled_count,
        "charged_nanos": done.charged_nanos,
        "returned_nanos": done.returned_nanos,
        "booked_count": done.booked_count,
        "booked_cost_nanos": done.booked_cost_nanos,
        "suspense_count": len(work.holds_in_suspense()),
    }


def _book(work: UnitOfWork, true_up: TrueUp, done: _Done) -> None:
    for one in true_up.proven:
        attempt = one.attempt
        if true_up.kind is Why.CHECKED:
            counts: list[int | None] = [count or None for count in one.counts]
            if any(counts):
                counts[_REQUEST] = 1
            row = BillRow(
                attempt.call_id, attempt.attempt, true_up.id, attempt.card.provider, attempt.card.model, one.tier,
                attempt.admitted_at, tuple(counts), "report", one.nanos,
            )  # fmt: skip
            charged, returned = settle_from_report(work, row, attempt.hold_key)
            done.settled_count += 1
            done.charged_nanos += charged
            done.returned_nanos += returned
        else:
            done.booked_cost_nanos += book_estimate(work, attempt.call_id, attempt.attempt, one.nanos, true_up.id)
            done.booked_count += 1


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a report as the command carries it."""

    part: tuple[str, str, str, str, tuple[str, ...] | None]
    tiers: dict[
        str,
        Annotated[
            list[Annotated[int, msgspec.Meta(ge=0)]], msgspec.Meta(min_length=len(METERS), max_length=len(METERS))
        ],
    ]
    meters: list[Annotated[int, msgspec.Meta(ge=0, lt=len(METERS))]]
    request_count: int | None
    cost_nanos: int | None
    currency: str
    row_count: Annotated[int, msgspec.Meta(ge=0)]
    step_nanos: Annotated[int, msgspec.Meta(ge=1)]


def told_sent(told: Told) -> dict[str, Any]:
    """A part of a report as the command carries it."""
    return {
        "part": [*told.part[:4], None if told.part.deployments is None else list(told.part.deployments)],
        "tiers": {tier: list(counts) for tier, counts in told.tiers.items()},
        "meters": sorted(told.meters),
        "request_count": told.request_count,
        "cost_nanos": told.cost_nanos,
        "currency": told.currency,
        "row_count": told.row_count,
        "step_nanos": told.step_nanos,
    }


def _told_from(said: Mapping[str, Any]) -> Told:
    """The part that a command carries. Raises Refused for what is none."""
    try:
        sent = msgspec.convert(said, _Sent)
        date.fromisoformat(sent.part[0])
    except ValueError as error:
        raise Refused("told", f"what a report tells is none: {error}") from error
    return Told(
        part=Part._make(sent.part), tiers=sent.tiers, meters=frozenset(sent.meters), request_count=sent.request_count,
        cost_nanos=sent.cost_nanos, currency=sent.currency, row_count=sent.row_count, step_nanos=sent.step_nanos,
    )  # fmt: skip


def booked_before(connection: Connection, wanted: Collection[str]) -> set[str]:
    """Which of these true-ups some command booked."""
    commands = schema.commands.c
    query = select(commands.result_json).where(commands.name == COMMAND)
    return {one for text in connection.scalars(query) for one in json.loads(text).get("true_ups", ()) if one in wanted}
