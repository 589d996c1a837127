"""What usage in the lake cost in credits, by source, member, day and model: the totals that `usage.charge` is told (decision 0119).

Every event is rated by itself, as a call is, and by what was known when it was: a rate card counts from the day on which it holds and
is on record. So what an event costs never changes, and a total grows by new events. It shrinks where usage is forgotten, and where a
later import makes an event one of a meter that cannot be right (W12): that is judged over all that the lake has.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from tokenroll.engine.calendar import day_start
from tokenroll.engine.charging import Told, Uncharged, credits_of
from tokenroll.engine.rating import card_from_json
from tokenroll.insight.broken_meters import SUM_SOURCES
from tokenroll.model.instant import INSTANT_MAX, Instant
from tokenroll.model.limits import AMOUNT_NANOS_MAX
from tokenroll.model.member import MemberField
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import Usage
from tokenroll.model.wallet import HolderKind
from tokenroll.services.list_prices import ListPrices
from tokenroll.services.meter_quarantine import quarantined
from tokenroll.store import schema
from tokenroll.store.lake import LakeView
from tokenroll.store.lake_files import lake_engine, show_rows, table_of, tables_of
from tokenroll.store.lake_queries import UsageQuery
from tokenroll.store.lake_rollups import compiled, told_once
from tokenroll.store.lake_schema import COUNTS, USAGE

UNKNOWN_MEMBER: Final = "of nobody who is a member"
FORMER_NAME: Final = "under a name that nobody had then"
AHEAD: Final = "with a time that is to come"
BROKEN: Final = "of a meter that cannot be right (W12)"
TOO_MUCH: Final = "of a day that costs more than a row may hold"
_MODELS_NAMED_MAX: Final = 5
_DAY: Final = timedelta(days=1)
_COLUMNS: Final = (
    "source", "event_id", "member", "day", "model", "provider", "service_tier", "currency", "billing", "list_cost_nanos", "admitted_at", *COUNTS,
)  # fmt: skip


class DayKey(NamedTuple):
    """What one charge is of. `member` is the member's id."""

    source: str
    member: str
    day: str
    model: str


@dataclass(slots=True)
class DayTotal:
    """What it cost so far, and when the latest of it was used."""

    nanos: int = 0
    used_at: Instant = 0


@dataclass(slots=True)
class LeftOut:
    """Events that are not charged for one reason, and some of the models that they are of."""

    event_count: int = 0
    models: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Costs:
    """Totals by key; and by source, name and reason what is in none of them."""

    totals: dict[DayKey, DayTotal] = field(default_factory=dict)
    left_out: dict[tuple[str, str, str], LeftOut] = field(default_factory=dict)

    def leave_out(self, source: str, name: str, reason: str, model: str, count: int = 1) -> None:
        """Count events that are not charged, and name their model while there is room."""
        one = self.left_out.setdefault((source, name, reason), LeftOut())
        one.event_count += count
        if len(one.models) < _MODELS_NAMED_MAX:
            one.models.add(model)

    def rows(self) -> Iterator[tuple[DayKey, DayTotal]]:
        """Those that cost something, all of a member's together and in the order of days."""
        return ((key, self.totals[key]) for key in sorted(self.totals, key=_by_member) if self.totals[key].nanos)


def _by_member(key: DayKey) -> tuple[str, str, str, str]:
    return key.member, key.day, key.source, key.model


class ChargeRates:
    """The company's rate cards, each from when it holds and is on record."""

    def __init__(self, connection: Connection) -> None:
        table = schema.rate_cards
        cards = (
            card_from_json(row.canonical_json, card_id=row.id, public_id=row.public_id, recorded_at=row.recorded_at)
            for row in connection.execute(select(table).order_by(table.c.id))
        )
        self._cards = ListPrices(replace(card, effective_at=max(card.effective_at, card.recorded_at)) for card in cards)

    def card(self, provider: str, model: str, at: Instant) -> RateCard | None:
        """The card that a call would have been rated by then; None if the company had none."""
        found = self._cards.card(provider, model, at)
        return None if found is None or found.effective_at > at else found


class _Bearing(NamedTuple):
    """From when until when on record a member had a name."""

    since: Instant
    until: Instant
    member: str


class MemberNames:
    """Who had which name when: a name that was free again may be another's since."""

    def __init__(self, bearings: Mapping[str, Sequence[_Bearing]], names: Mapping[str, str]) -> None:
        self._bearings = bearings
        self.names = names
        """What each member is called today, by id."""

    def __contains__(self, name: str) -> bool:
        """Whether anybody is, or was ever, called that; a member's id is a name of nobody else."""
        return name in self.names or name in self._bearings

    def member(self, name: str, at: Instant) -> str | None:
        """The id of who had a name then; None while nobody had it.

        Usage from before anybody had it is of the first who did: logs are older than the members whom they name.
        """
        if name in self.names:
            return name
        bearings = self._bearings.get(name, ())
        for place, one in enumerate(bearings):
            if at < one.until and (at >= one.since or place == 0):
                return one.member
        return None


def members_by_name(connection: Connection) -> MemberNames:
    """Each member who has a wallet by id, and by every name while it was theirs on record.

    A change of name that was written late ends the old name with its own day, and begins the new one when it was written: between
    them, what stands under the old name could be anybody's who took it since.
    """
    members, wallets, changes = schema.members.c, schema.wallets.c, schema.member_changes.c
    renamed: dict[int, list[Row[Any]]] = {}
    query = select(schema.member_changes).where(changes.field == MemberField.NAME.value).order_by(changes.id)
    for change in connection.execute(query):
        renamed.setdefault(change.member_id, []).append(change)
    found: dict[str, list[_Bearing]] = {}
    names: dict[str, str] = {}
    query = select(schema.members).join(schema.wallets, wallets.holder_id == members.id)
    for row in connection.execute(query.where(wallets.holder_kind == HolderKind.MEMBER.value)):
        names[row.public_id] = row.name
        since = row.recorded_at
        for change in renamed.get(row.id, ()):
            day_over = day_start(date.fromisoformat(change.effective_on) + _DAY, ZoneInfo(row.zone))
            until = min(change.recorded_at, day_over)
            found.setdefault(change.was, []).append(_Bearing(since, until, row.public_id))
            since = change.recorded_at
        found.setdefault(row.name, []).append(_Bearing(since, INSTANT_MAX, row.public_id))
    return MemberNames({name: _closed(sorted(bearings)) for name, bearings in found.items()}, names)


def _closed(bearings: list[_Bearing]) -> list[_Bearing]:
    """One after another; whoever got a name back had it all the while, as after a slip of HR's, if nobody else had it between."""
    return [
        one._replace(until=after.since) if after is not None and after.member == one.member else one
        for one, after in zip(bearings, [*bearings[1:], None], strict=True)
    ]


def costs_of(
    view: LakeView,
    sources: Sequence[str],
    rates: ChargeRates,
    members: MemberNames,
    *,
    now: Instant,
    seats: bool = False,
    on_events: Callable[[int, int], None] | None = None,
) -> Costs:
    """What the lake's events of these sources cost, each event once. `on_events` hears how many of how many are done."""
    wanted = set(sources)
    files = [one for one in view.manifest.of_kind(USAGE) if wanted & set(one.sources)]
    costs = Costs()
    if not files:
        return costs
    usage = table_of(USAGE)
    usage = usage.filter(usage.source.isin(sorted(wanted)))
    if len({one.day for one in files}) < len(files):
        usage = told_once(usage)
    broken = {(one.source, one.event_id) for one in quarantined(view, UsageQuery()) if one.source in wanted}
    total = sum(one.row_count for one in files)
    done = 0
    with lake_engine(view.directory) as engine:
        show_rows(engine, view.directory, files, USAGE)
        for table in tables_of(engine, compiled(usage.select(*_COLUMNS))):
            _add(costs, table.to_pylist(), rates, members, broken, now=now, seats=seats)
            done += table.num_rows
            if on_events is not None:
                on_events(done, total)
    _refuse_too_much(costs)
    return costs


def _add(
    costs: Costs, rows: Iterable[Mapping[str, Any]], rates: ChargeRates, members: MemberNames,
    broken: Collection[tuple[str, str]], *, now: Instant, seats: bool,
) -> None:  # fmt: skip
    for row in rows:
        source, name, model = row["source"], row["member"], row["model"]
        usage = Usage(**{count: row[count] for count in COUNTS})
        told = Told(
            source, row["billing"], row["currency"], row["service_tier"], usage, row["list_cost_nanos"],
            is_sum=source in SUM_SOURCES or (row["request_count"] or 1) > 1,
        )  # fmt: skip
        nanos = credits_of(told, rates.card(row["provider"], model, row["admitted_at"]), seats=seats)
        if isinstance(nanos, Uncharged):
            costs.leave_out(source, name, nanos.value, model)
        elif (member := members.member(name, row["admitted_at"])) is None:
            costs.leave_out(source, name, FORMER_NAME if name in members else UNKNOWN_MEMBER, model)
        elif row["admitted_at"] > now:
            costs.leave_out(source, name, AHEAD, model)
        elif (source, row["event_id"]) in broken:
            costs.leave_out(source, name, BROKEN, model)
        else:
            one = costs.totals.setdefault(DayKey(source, member, row["day"].isoformat(), model), DayTotal())
            one.nanos += nanos
            one.used_at = max(one.used_at, row["admitted_at"])


def _refuse_too_much(costs: Costs) -> None:
    for key in [key for key, one in costs.totals.items() if one.nanos > AMOUNT_NANOS_MAX]:
        del costs.totals[key]
        costs.leave_out(key.source, key.member, TOO_MUCH, key.model)
