"""Leasing: what rows say about wallets, keys and rate cards, as the messages that a worker spends by (DESIGN §5).

A lease on one host with one worker is every wallet, whole and without deadline: it moves no money, it only names who writes.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from tokenroll.model.enforcement import CapPolicy, Enforcement
from tokenroll.model.hold import COMPANY_LOT_ID
from tokenroll.model.instant import Instant
from tokenroll.model.limits import CLIENT_CALL_IDS_REMEMBERED_MAX, OUTPUT_CAP_DEFAULT_TOKENS
from tokenroll.model.lot import Lot
from tokenroll.model.plan_terms import PlanTerms
from tokenroll.model.pool import DrawRule
from tokenroll.model.wallet import HolderKind
from tokenroll.services.limit_terms import limit_terms
from tokenroll.services.plan_terms import terms_from_text
from tokenroll.services.protocol import CardTerms, ClientCallTerms, KeyTerms, Lease, LotTerms, View, WalletTerms
from tokenroll.services.used_today import UsedToday, has_day_rate
from tokenroll.store import schema
from tokenroll.store.attempt_record import Outcome

WALLETS_PER_MESSAGE: Final = 5_000
KEYS_PER_MESSAGE: Final = 20_000
CARDS_PER_MESSAGE: Final = 1_000
LIMITS_PER_MESSAGE: Final = 1_000
"""Parts of about 2 MB: far below a message's limit, large enough that their number does not matter."""
_IDS_PER_QUERY: Final = 500


def lot_terms(lot: Lot, available_nanos: int) -> LotTerms:
    """A new lot as a worker needs it."""
    return LotTerms(
        lot.id, lot.priority, lot.effective_at, lot.expires_at or 0, available_nanos, lot.classification.value
    )


def wallet_policies(connection: Connection, wallet_ids: Iterable[int], now: Instant) -> list[WalletTerms]:
    """Wallets without their lots: who they are and how they are enforced. For deltas, whose lots travel as changes."""
    found: list[WalletTerms] = []
    used = UsedToday(connection, now)
    for part in _parts(sorted(wallet_ids)):
        query = _wallet_query().where(schema.wallets.c.id.in_(part))
        carried = _carried(connection, schema.overage_uses.c.wallet_id.in_(part))
        found += _wallet_terms(connection, connection.execute(query).all(), {}, carried, now, used)
    return found


def names_day_rates(connection: Connection) -> bool:
    """Whether some plan says how much in a day: what calls have used of it is known from folded rows alone."""
    return any(has_day_rate(terms_from_text(text).access) for text in connection.scalars(select(schema.plans.c.terms)))


def lease_parts(connection: Connection, delta: int, now: Instant, *, with_expired: bool = False) -> Iterator[Lease]:
    """The lease of every wallet in parts; the last one says so, also when there is no wallet at all.

    `with_expired`: also lots of which calls may yet end that began in time, as a tape says that is not folded.
    """
    after = 0
    used = UsedToday(connection, now)
    while True:
        query = _wallet_query().where(schema.wallets.c.id > after).limit(WALLETS_PER_MESSAGE)
        rows = connection.execute(query).all()
        last = len(rows) < WALLETS_PER_MESSAGE
        through = rows[-1].id if rows else after
        lots = _lots_between(connection, after, through, 0 if with_expired else now)
        carried = _carried(connection, schema.overage_uses.c.wallet_id.between(after + 1, through))
        terms = _wallet_terms(connection, rows, lots, carried, now, used)
        yield Lease(wallets=terms, expires_at=0, delta=delta, last=last)
        if last:
            return
        after = through


def view_parts(connection: Connection, now: Instant) -> Iterator[View]:
    """Every living key, every rate card, every limit and every setting, in parts."""
    names = schema.settings.c
    settings: dict[str, str] = {row[0]: row[1] for row in connection.execute(select(names.name, names.value))}
    yield View(keys=[], cards=[], settings=settings, last=False)
    for keys in _living_keys(connection, now):
        yield View(keys=keys, cards=[], settings={}, last=False)
    cards = card_terms(connection)
    for start in range(0, len(cards), CARDS_PER_MESSAGE):
        yield View(keys=[], cards=cards[start : start + CARDS_PER_MESSAGE], settings={}, last=False)
    calls = client_call_terms(connection)
    for start in range(0, len(calls), KEYS_PER_MESSAGE):
        yield View(keys=[], cards=[], settings={}, last=False, client_calls=calls[start : start + KEYS_PER_MESSAGE])
    limits = limit_terms(connection, now)
    for start in range(0, len(limits), LIMITS_PER_MESSAGE):
        yield View(keys=[], cards=[], settings={}, last=False, limits=limits[start : start + LIMITS_PER_MESSAGE])
    yield View(keys=[], cards=[], settings={}, last=True)


def ready_parts(
    connection: Connection, delta: int, now: Instant, of: int, *, with_expired: bool
) -> Iterator[View | Lease]:
    """All that one of so many workers needs to spend."""
    try:
        yield from view_parts(connection, now)
        for part in lease_parts(connection, delta, now, with_expired=with_expired):
            yield msgspec.structs.replace(part, of=of)
    finally:
        connection.rollback()


def client_call_terms(connection: Connection) -> list[ClientCallTerms]:
    """The clients' own call ids used last, oldest first, and what became of their calls."""
    calls, ended = schema.client_calls.c, schema.settlements.c
    # a hold's number is worker, epoch, sequence: without the worker the newest of all workers come together
    newest = (
        select(schema.client_calls)
        .order_by((calls.hold_key % (1 << 56)).desc())
        .limit(CLIENT_CALL_IDS_REMEMBERED_MAX)
        .subquery()
    )
    query = select(newest, ended.outcome, ended.charge_nanos).outerjoin(
        schema.settlements, ended.hold_key == newest.c.hold_key
    )
    rows = connection.execute(query.order_by(newest.c.hold_key % (1 << 56)))
    return [
        ClientCallTerms(row.api_key_id, row.client_call_id, _state(row.outcome), row.charge_nanos or 0) for row in rows
    ]


def _state(outcome: int | None) -> str:
    if outcome is None:
        return "suspense"  # its worker is gone, or it is another worker's: its fate will be found out
    return "released" if outcome == Outcome.RELEASED else "settled"


def key_terms(connection: Connection, now: Instant, key_ids: Iterable[int] | None = None) -> list[KeyTerms]:
    """These keys, or all that are not revoked; each with its member's wallet, the nearest pool and the secrets that still work."""
    if key_ids is None:
        return [key for part in _living_keys(connection, now) for key in part]
    keys = schema.api_keys.c
    rows: list[Any] = []
    for ids in _parts(sorted(key_ids)):
        rows += connection.execute(_key_query().where(keys.id.in_(ids)).order_by(keys.id))
    return _key_terms(rows, _Pools(connection), _former_secrets(connection, now))


def _living_keys(connection: Connection, now: Instant) -> Iterator[list[KeyTerms]]:
    """Those that are not revoked, as many at a time as one message takes: all of a million at once would be a gigabyte."""
    keys = schema.api_keys.c
    query = _key_query().where(keys.revoked_at.is_(None)).order_by(keys.id).limit(KEYS_PER_MESSAGE)
    pools, former = _Pools(connection), _former_secrets(connection, now)
    after = 0
    while rows := connection.execute(query.where(keys.id > after)).all():
        yield _key_terms(rows, pools, former)
        after = rows[-1].id


def _key_query() -> Select[Any]:
    keys, members, wallets = schema.api_keys.c, schema.members.c, schema.wallets.c
    own = select(func.max(wallets.id)).where(
        wallets.holder_kind == HolderKind.MEMBER.value, wallets.holder_id == members.id
    )
    return select(
        keys.id, keys.public_id, keys.secret_hash, keys.scope, keys.member_id, members.public_id.label("member_public_id"),
        own.scalar_subquery().label("wallet_id"), members.department_id, keys.expires_at, keys.revoked_at, keys.models_json, keys.tags,
    ).join(schema.members, members.id == keys.member_id)  # fmt: skip


def _key_terms(rows: Iterable[Any], pools: "_Pools", former: dict[int, list[tuple[bytes, int]]]) -> list[KeyTerms]:
    of_department: dict[int | None, tuple[int, list[int], bool]] = {}
    terms = []
    for row in rows:
        (
            key_id,
            public_id,
            secret_hash,
            scope,
            member,
            member_public_id,
            wallet,
            department,
            expires_at,
            revoked_at,
            models,
            tags,
        ) = row
        told = of_department.get(department)
        if told is None:
            pool = pools.nearest(department)
            told = of_department[department] = (pool, pools.chain(department), pools.is_first(department))
        terms.append(
            KeyTerms(
                key_id, public_id, secret_hash, scope, member, member_public_id, wallet or 0, told[0], expires_at or 0,
                revoked_at is not None, told[1], told[2], json.loads(models) if models else [], tags or "", former.get(key_id, []),
            )
        )  # fmt: skip
    return terms


def _former_secrets(connection: Connection, now: Instant) -> dict[int, list[tuple[bytes, int]]]:
    """By key: its replaced secrets that still work, and until when."""
    former = schema.former_secrets.c
    found: dict[int, list[tuple[bytes, int]]] = {}
    query = select(former.api_key_id, former.secret_hash, former.works_until).where(former.works_until > now)
    for key_id, secret_hash, works_until in connection.execute(query.order_by(former.works_until)):
        found.setdefault(key_id, []).append((secret_hash, works_until))
    return found


def pool_of_wallet(connection: Connection, wallet_id: int) -> int:
    """The wallet id of the pool that serves a member's wallet; 0 for none, and for a pool's own wallet."""
    wallets, members = schema.wallets.c, schema.members.c
    query = select(members.department_id).join(schema.wallets, wallets.holder_id == members.id)
    row = connection.execute(
        query.where(wallets.id == wallet_id, wallets.holder_kind == HolderKind.MEMBER.value)
    ).one_or_none()
    return 0 if row is None else _Pools(connection).nearest(row.department_id)


def pool_of_department(connection: Connection, public_id: str | None) -> int:
    """The wallet id of the pool that serves a department; 0 for none, and without a department."""
    departments = schema.departments.c
    department_id = connection.scalar(select(departments.id).where(departments.public_id == public_id))
    return 0 if department_id is None else _Pools(connection).nearest(department_id)


def card_terms(connection: Connection, card_ids: Iterable[int] | None = None) -> list[CardTerms]:
    """These rate cards, or all."""
    cards = schema.rate_cards.c
    query = select(cards.id, cards.digest, cards.canonical_json).order_by(cards.id)
    if card_ids is None:
        return [CardTerms(*row) for row in connection.execute(query)]
    return [
        CardTerms(*row)
        for part in _parts(sorted(card_ids))
        for row in connection.execute(query.where(cards.id.in_(part)))
    ]


class _Pools:
    """Which pool serves a department: its own, else its nearest ancestor's, else the company's."""

    def __init__(self, connection: Connection) -> None:
        pools, departments = schema.pools.c, schema.departments.c
        rows = connection.execute(select(schema.pools).order_by(pools.wallet_id.desc())).all()
        self._wallet_of: dict[int | None, int] = {row.department_id: row.wallet_id for row in rows}
        self._first = {row.wallet_id for row in rows if row.draw_rule == DrawRule.POOL_FIRST}
        parents = connection.execute(select(departments.id, departments.parent_id))
        self._parent_of: dict[int, int | None] = {row[0]: row[1] for row in parents}

    def chain(self, department_id: int | None) -> list[int]:
        """The department and all above it, the nearest first."""
        found: list[int] = []
        while department_id is not None and department_id not in found:
            found.append(department_id)
            department_id = self._parent_of.get(department_id)
        return found

    def is_first(self, department_id: int | None) -> bool:
        """Whether the pool that serves a department is drawn before its members' own lots."""
        return self.nearest(department_id) in self._first

    def nearest(self, department_id: int | None) -> int:
        """The pool's wallet id, 0 for none."""
        seen: set[int] = set()
        while department_id is not None and department_id not in seen:
            if department_id in self._wallet_of:
                return self._wallet_of[department_id]
            seen.add(department_id)
            department_id = self._parent_of.get(department_id)
        return self._wallet_of.get(None, 0)


def _wallet_query() -> Select[Any]:
    wallets = schema.wallets
    parts = schema.usage_charge_parts.c
    around = select(func.sum(parts.nanos)).where(parts.wallet_id == wallets.c.id, parts.lot_id == COMPANY_LOT_ID)
    named = wallets.c
    query = select(
        named.id,
        named.public_id,
        named.name,
        named.holder_kind,
        named.zone,
        around.scalar_subquery().label("around_nanos"),
    )
    return query.order_by(wallets.c.id)


def _carried(connection: Connection, which: ColumnElement[bool]) -> dict[int, list[tuple[int, int]]]:
    """What the company carried of calls, by wallet, and of each by worker."""
    uses = schema.overage_uses.c
    found: dict[int, list[tuple[int, int]]] = {}
    query = select(uses.wallet_id, uses.worker, uses.nanos).where(which, uses.nanos != 0)
    for wallet_id, worker, nanos in connection.execute(query.order_by(uses.wallet_id, uses.worker)):
        found.setdefault(wallet_id, []).append((worker, nanos))
    return found


class _Lots:
    """A wallet's lots that may still be held of, and what all of its lots have spent, held and in suspense."""

    __slots__ = ("held_nanos", "leased", "spent_nanos", "suspense_nanos")

    def __init__(self) -> None:
        self.leased: list[LotTerms] = []
        self.spent_nanos = self.held_nanos = self.suspense_nanos = 0


_NO_LOTS: Final = _Lots()


def _lots_between(connection: Connection, after: int, through: int, expired_by: Instant) -> dict[int, _Lots]:
    """By wallet. A lot that is used up or expired is nobody's business any more, unless some of it is in suspense."""
    lots, values = schema.lots.c, schema.lot_values.c
    taken = values.forfeited_nanos + values.clawed_back_nanos + values.voided_nanos + values.transferred_out_nanos
    query = (
        select(
            lots.wallet_id, lots.id, lots.priority, lots.effective_at, lots.expires_at, lots.classification, lots.amount_nanos,
            values.held_nanos, values.suspense_nanos, values.spent_nanos, taken,
        )
        .join(schema.lot_values, values.lot_id == lots.id)
        .where(lots.wallet_id > after, lots.wallet_id <= through)
        .order_by(lots.wallet_id, lots.id)
    )  # fmt: skip
    found: dict[int, _Lots] = {}
    # taken apart as tuples, for a million wallets are leased before the first call: names of columns are looked up much more slowly
    for (
        wallet_id,
        lot,
        priority,
        effective_at,
        expires_at,
        kind,
        amount,
        held,
        suspense,
        spent,
        gone,
    ) in connection.execute(query):
        own = found.get(wallet_id)
        if own is None:
            own = found[wallet_id] = _Lots()
        own.spent_nanos += spent
        own.held_nanos += held
        own.suspense_nanos += suspense
        left = amount - held - suspense - spent - gone
        may_come_back = left or held  # what other workers' calls hold
        if suspense or (may_come_back and (expires_at is None or expires_at > expired_by)):
            own.leased.append(LotTerms(lot, priority, effective_at, expires_at or 0, left, kind))
    return found


def _wallet_terms(
    connection: Connection,
    rows: Iterable[Row[Any]],
    lots: dict[int, _Lots],
    carried: dict[int, list[tuple[int, int]]],
    now: Instant,
    used: UsedToday,
) -> list[WalletTerms]:
    listed: list[Any] = list(rows)
    policies = _policies(connection, [row.id for row in listed], now)
    pools = _pool_wallets(connection) if any(policy.terms.floor for policy in policies.values()) else {}
    told: dict[int, dict[str, Any]] = {}
    terms = []
    for wallet_id, public_id, name, holder_kind, zone, around_nanos in listed:
        own = lots.get(wallet_id, _NO_LOTS)
        policy = policies.get(wallet_id, _NO_PLAN)
        access = told.get(id(policy))
        if access is None:
            access = told[id(policy)] = _access(policy.terms, pools)
        terms.append(
            WalletTerms(
                wallet_id, public_id, name, holder_kind, zone, own.leased,
                policy.enforcement, policy.cap_policy, policy.output_cap_tokens,
                max(0, policy.overage_nanos_max - (around_nanos or 0)),
                own.spent_nanos, own.held_nanos, own.suspense_nanos, carried.get(wallet_id, []), **access, day_start_at=used.day_start_at,
                day_used=used.of(wallet_id) if has_day_rate(policy.terms.access) else [],
            )
        )  # fmt: skip
    return terms


def _access(terms: PlanTerms, pools: dict[str, int]) -> dict[str, Any]:
    """What a plan's terms say about all wallets under it alike, by the names of WalletTerms."""
    access, floor, thrift = terms.access, terms.floor, terms.thrift
    return {
        "models": list(access.models), "service_tiers": list(access.service_tiers),
        "floor_model": floor.model if floor else "", "floor_pool_id": pools.get(floor.pool, 0) if floor else 0,
        "calls_per_minute_max": access.calls_per_minute_max or 0, "tokens_per_minute_max": access.tokens_per_minute_max or 0,
        "input_tokens_per_minute_max": access.input_tokens_per_minute_max or 0,
        "output_tokens_per_minute_max": access.output_tokens_per_minute_max or 0,
        "cache_marking": thrift.cache_marking, "cache_key": thrift.cache_key, "coalesce": thrift.coalesce,
        "break_loops": thrift.break_loops or 0, "cap_hints": thrift.cap_hints,
        "calls_per_day_max": access.calls_per_day_max or 0, "tokens_per_day_max": access.tokens_per_day_max or 0,
        "input_tokens_per_day_max": access.input_tokens_per_day_max or 0,
        "output_tokens_per_day_max": access.output_tokens_per_day_max or 0, "purpose": terms.purpose or "",
    }  # fmt: skip


class _Policy(NamedTuple):
    """What a plan's version says about the calls of the wallets under it."""

    enforcement: str
    cap_policy: str
    output_cap_tokens: int
    overage_nanos_max: int
    terms: PlanTerms


_NO_PLAN: Final = _Policy(Enforcement.ENFORCE.value, CapPolicy.DENY.value, OUTPUT_CAP_DEFAULT_TOKENS, 0, PlanTerms())


def _policies(connection: Connection, wallet_ids: list[int], now: Instant) -> dict[int, _Policy]:
    """By wallet: the policy of the newest plan behind its grants, in the version that holds now."""
    if not wallet_ids:
        return {}
    plans = schema.plans.c
    newest: dict[str, tuple[tuple[Instant, int], _Policy]] = {}
    names: dict[int, str] = {}
    for row in connection.execute(select(schema.plans).order_by(plans.name, plans.version)):
        names[row.id] = row.name
        if row.effective_at <= now or row.name not in newest:
            policy = _Policy(
                row.enforcement,
                row.cap_policy,
                row.output_cap_tokens,
                row.overage_nanos_max,
                terms_from_text(row.terms),
            )
            newest[row.name] = ((row.effective_at, row.id), policy)
    grants = schema.grants.c
    query = select(grants.wallet_id, grants.plan_id).distinct()
    chosen: dict[int, tuple[tuple[Instant, int], _Policy]] = {}
    for wallet_id, plan_id in connection.execute(
        query.where(grants.wallet_id >= wallet_ids[0], grants.wallet_id <= wallet_ids[-1])
    ):
        candidate = newest[names[plan_id]]
        if wallet_id not in chosen or candidate[0] > chosen[wallet_id][0]:
            chosen[wallet_id] = candidate
    return {wallet_id: policy for wallet_id, (_, policy) in chosen.items()}


def _pool_wallets(connection: Connection) -> dict[str, int]:
    """The wallet of each pool by the pool's name."""
    wallets, pools = schema.wallets.c, schema.pools.c
    query = select(wallets.name, wallets.id).join(schema.pools, pools.wallet_id == wallets.id)
    return {row[0]: row[1] for row in connection.execute(query)}


def _parts(ids: list[int]) -> Iterator[list[int]]:
    return (ids[start : start + _IDS_PER_QUERY] for start in range(0, len(ids), _IDS_PER_QUERY))
