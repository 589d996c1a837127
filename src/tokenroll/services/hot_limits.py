"""Limits as their worker counts them: raised when a wallet is drawn, trued up when the call ends, in memory and without messages.

They mean what `engine/limiting` means; a property test proves it. A call that no limit counts pays for one look at an empty list.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from tokenroll.model.instant import Instant
from tokenroll.model.limit import LimitScope
from tokenroll.model.limits import SHARE_ROUNDED_CAP_MAX, SHARE_SLACK, SHARE_WHOLE, WAITING_CALLS_MAX
from tokenroll.model.pay_cycle import PayCalendar
from tokenroll.model.usage import INPUT_METERS, METER_INDEX, TOKEN_METER_COUNT, Meter
from tokenroll.services.access_paces import access_rules
from tokenroll.services.hot import NEVER, Deployment, Wait
from tokenroll.services.limit_rules import CALLS, LimitRule
from tokenroll.services.protocol import CounterChange, KeyTerms, LimitTerms
from tokenroll.services.windows import NO_WINDOW
from tokenroll.store import tape as tapes
from tokenroll.store.attempt_record import hold_key
from tokenroll.upstream.pace import KINDS, Pace

if TYPE_CHECKING:
    from tokenroll.services.hot import HotHold, HotKey, HotWallet

_INPUT_METERS: Final = (1 << len(INPUT_METERS)) - 1
_TOKEN_METERS: Final = (1 << TOKEN_METER_COUNT) - 1
"""The bits of a counts mask that count model tokens, and those of them that went in."""
_CACHE_READ: Final = 1 << METER_INDEX[Meter.CACHE_READ]
_RAISE: Final = tapes.LIMIT_RAISE.pack
_SPLITS: Final[dict[int, tuple[int, int, int]]] = {}
"""Of the few masks of counts that are met, by mask (see `_split`)."""


class HotLimit:
    """A limit, and how far it is used now, open calls at their bounds. Window, overrides and dates are looked at when `turns_at` passes.

    What is counted since `start_at` is `used` without `earlier_used`; what older parts of a rolling window count is `earlier`, by start,
    oldest first.
    What a ledger whose clock is ahead has counted in windows to come is `later`, and counts then.
    """

    __slots__ = (
        "calendars", "cap", "earlier", "earlier_used", "elsewhere_at", "elsewhere_used", "enforces", "free_share", "held", "holds", "id", "later", "measure", "overage", "rule", "scope_text",
        "share", "start_at", "told_starts", "turns_at", "used", "waiting", "whole_cap", "window",
    )  # fmt: skip

    def __init__(
        self,
        rule: LimitRule,
        limit_id: int,
        scope_text: str,
        counters: list[tuple[int, int]],
        calendars: tuple[PayCalendar, ...] = (),
    ) -> None:
        self.id = limit_id
        """0: a plan's pace, which no ledger counts."""
        self.calendars = calendars
        self.held = 0
        """The part of `used` that open calls may still give back."""
        self.waiting: list[Wait] = []
        """Calls that are held back until it has room for them."""
        self.share = SHARE_WHOLE
        """How much of the cap is this worker's, of SHARE_WHOLE: of a sized lease it counts its own calls alone."""
        self.free_share = -1
        """What nobody else had and nobody used, beside its own, when the ledger said last that it has too little of it; -1: it never did."""
        self.elsewhere_used = 0
        """What calls of other workers count, as the ledger said it last."""
        self.elsewhere_at: Instant = 0
        """When that was asked."""
        self.earlier: dict[Instant, int] = dict(sorted(counters))
        self.earlier_used = self.used = sum(self.earlier.values())
        self.told_starts = frozenset(self.earlier)
        """Of what the ledger counted when this life began. A ledger whose clock is ahead tells nothing of windows that are over there."""
        self.later: dict[Instant, int] = {}
        self.start_at: Instant = NO_WINDOW.start_at
        self.window = NO_WINDOW
        self.set_rule(rule, scope_text)

    def set_rule(self, rule: LimitRule, scope_text: str) -> None:
        """What it counts from now on. What was counted here is known better than at the ledger."""
        self.rule = rule
        self.scope_text = scope_text
        self.measure = rule.measure
        self.enforces = rule.enforces
        self.whole_cap = rule.cap
        self.set_share(self.share)
        self.holds = False
        self.turn_again()

    def set_share(self, share: int) -> None:
        """Another part of the cap is this worker's, and of what may be above it."""
        self.share = share
        self.cap, self.overage = self.whole_cap, self.rule.overage
        if share != SHARE_WHOLE:
            self.cap = self.part_of_cap(share)
            self.overage = self.overage * share // SHARE_WHOLE

    def part_of_cap(self, share: int) -> int:
        """What of the whole cap a share is."""
        slack = SHARE_SLACK if share and self.whole_cap < SHARE_ROUNDED_CAP_MAX else 0
        return self.whole_cap * min(SHARE_WHOLE, share + slack) // SHARE_WHOLE

    def share_for(self, amount: int) -> int:
        """The share with which a call that raises it by `amount` fits."""
        return -(-max(0, self.used + amount) * SHARE_WHOLE // max(1, self.whole_cap))

    def spare_share(self, now: Instant) -> int:
        """The part of its share that its calls have not used."""
        if now >= self.turns_at:
            self.look(now)
        return max(0, self.share - (self.share_for(0) if self.holds else 0))

    def begin_share(self) -> None:
        """Of a sized lease: nothing is used by this life, and nothing may be."""
        self.earlier.clear()
        self.later.clear()
        self.earlier_used = self.used = self.elsewhere_used = 0
        self.set_share(0)

    def known_elsewhere(self) -> int:
        """What others used of it, as far as it was said in this window."""
        return self.elsewhere_used if self.elsewhere_at >= self.window.counted_from else 0

    def told_left(self) -> int:
        """What clients are told to be left: of all workers, and at least what may be let through here without asking."""
        left = self.cap - self.used
        if self.share != SHARE_WHOLE:
            left = max(left, self.whole_cap - self.known_elsewhere() - self.used)
        return max(0, left)

    def turn_again(self) -> None:
        """Its window is found again before the next call."""
        self.turns_at: Instant = 0
        self.window = NO_WINDOW

    def look(self, now: Instant) -> None:
        """Window, cap and whether it holds, as of `now`; they stay so until `turns_at`."""
        if now >= self.window.turns_at:
            self._turn(now)
        rule = self.rule
        turns_at = self.window.turns_at
        self.whole_cap = rule.cap
        if rule.effective_at > now:
            turns_at = min(turns_at, rule.effective_at)
        if rule.expires_at > now:
            turns_at = min(turns_at, rule.expires_at)
        self.holds = rule.effective_at <= now and (not rule.expires_at or now < rule.expires_at)
        for cap, effective_at, expires_at in rule.overrides:  # oldest first: the newest that holds decides
            if effective_at <= now < expires_at:
                self.whole_cap = cap
            if effective_at > now:
                turns_at = min(turns_at, effective_at)
            if expires_at > now:
                turns_at = min(turns_at, expires_at)
        self.set_share(self.share)
        self.turns_at = turns_at

    def _turn(self, now: Instant) -> None:
        window = self.rule.windows.at(now, self.calendars)
        earlier = self.earlier
        if self.start_at != window.start_at:
            left_used = self.used - self.earlier_used
            if self.start_at < window.counted_from:
                self.used -= left_used
            elif left_used or self.held:  # open calls may change one that counted nothing
                earlier[self.start_at] = left_used
                self.earlier_used += left_used
            self.start_at = window.start_at
        if self.later or (earlier and next(reversed(earlier)) > window.start_at):
            self._set_aside(window.start_at)
        self.earlier_used -= self.earlier.pop(window.start_at, 0)
        self._forget(window.counted_from)
        self.window = window

    def _set_aside(self, start_at: Instant) -> None:
        """What is to count later, because a clock is ahead or was set back, apart from what counts now, each in order of time."""
        known = sorted([*self.earlier.items(), *self.later.items()])
        earlier = self.earlier = dict([one for one in known if one[0] <= start_at])
        self.later = dict(known[len(earlier) :])
        self.used -= self.earlier_used
        self.earlier_used = sum(earlier.values())
        self.used += self.earlier_used

    def _forget(self, counted_from: Instant) -> None:
        """What counts no more: a rolling minute of seconds turns for every limit of every call, so only what goes is looked at."""
        earlier = self.earlier
        gone: list[Instant] = []
        for start_at in earlier:
            if start_at >= counted_from:
                break
            gone.append(start_at)
        for start_at in gone:
            used = earlier.pop(start_at)
            self.used -= used
            self.earlier_used -= used

    def change(self, start_at: Instant, amount: int) -> None:
        """A call that raised it at that start came to something else. One that counts no more is nobody's business here."""
        if start_at == self.start_at:
            self.used += amount
            return
        used = self.earlier.get(start_at)
        if used is not None:
            self.earlier[start_at] = used + amount
            self.earlier_used += amount
            self.used += amount
        elif start_at in self.later:
            self.later[start_at] += amount

    def fits_at(self, amount: int) -> Instant:
        """When a call that raises it by `amount` fits, if no other comes before it; 0 when it is above the whole cap.

        At the latest, where that needs more than its share: what others used counts no more, then.
        """
        if amount > self.cap:
            return self.window.frees_at if amount <= self.whole_cap else 0
        excess = self.used + amount - self.cap
        at = turns_at = self.window.turns_at
        for start_at, used in sorted([*self.earlier.items(), (self.start_at, self.used - self.earlier_used)]):
            at = self.rule.windows.frees_at(start_at, turns_at)
            excess -= used
            if excess <= 0:
                break
        return at

    def wait_for(self, hold: "HotHold", amount: int, patience_micros: int) -> Wait | None:
        """How a call that does not fit may wait for a pace: until its window has turned, or open calls have given back what they do not use.

        None where that would take longer than the patience: no more wait than there will be room for.
        """
        waiting = self.waiting
        if not self.rule.is_pace or len(waiting) >= WAITING_CALLS_MAX:
            return None
        wanted = amount + sum(one.needed for one in waiting)
        latest_at = hold.admitted_at + patience_micros
        fits_at = self.fits_at(wanted) if wanted <= self.cap else 0
        if 0 < fits_at <= latest_at:
            return Wait(limit=self, needed=amount, until=fits_at)
        if self.measure != CALLS and self.used + wanted - self.cap <= self.held:  # a call is one call when it ends
            return Wait(limit=self, needed=amount, until=latest_at)
        return None

    def wake(self) -> None:
        """Wakes those in front for whom there is room now."""
        promised = 0
        while self.waiting:
            wait = self.waiting[0]
            promised += wait.needed
            if self.used + promised > self.cap:
                return
            del self.waiting[0]
            if wait.wake is not None:
                wait.wake()

    def restored_at(self, now: Instant) -> Instant:
        """When nothing of it will be used, if no call comes before."""
        if self.used != self.earlier_used or (self.share != SHARE_WHOLE and self.known_elsewhere()):
            # the newest is used, or of others, who do not say when
            return self.window.frees_at
        for start_at in reversed(self.earlier):
            if self.earlier[start_at]:
                return self.rule.windows.frees_at(start_at, self.window.turns_at)
        return now


class Counting:
    """Which of a key's limits count calls to one model under the same tags: so until `turns_at`, and until a limit is another one.

    Found once for many calls, because nearly every call of a key is like its last one.
    """

    __slots__ = ("clamps", "ledger_places", "limits", "model", "pace_bits", "revision", "starts", "tags", "turns_at")

    def __init__(self, limits: list[HotLimit], model: str, tags: str, now: Instant, revision: int) -> None:
        self.model = model
        self.tags = tags
        self.revision = revision
        self.turns_at: Instant = NEVER
        self.limits: list[HotLimit] = []
        self.starts: list[Instant] = []
        """Since when each of them counts."""
        self.clamps = False
        self.pace_bits = 0
        """Which of pace.KINDS they are told as."""
        self.ledger_places: list[int] = []
        """Which of them the ledger counts, too."""
        for limit in limits:
            if now >= limit.turns_at:
                limit.look(now)
            self.turns_at = min(self.turns_at, limit.turns_at)
            rule = limit.rule
            if (
                limit.holds
                and (not rule.model or rule.model == model)
                and (not rule.tag or rule.tag in tags.split(","))
            ):
                if limit.id:
                    self.ledger_places.append(len(self.limits))
                self.limits.append(limit)
                self.starts.append(limit.start_at)
                self.pace_bits |= rule.pace_bits
                self.clamps = self.clamps or rule.clamps


_NOTHING: Final = Counting([], "", "", 0, 0)


def _split(mask: int) -> tuple[int, int, int]:
    """Of the counts under a mask: how many are input, how many are tokens, and the place of cache reads (-1: there is none)."""
    known = _SPLITS.get(mask)
    if known is None:
        cached_place = (mask & (_CACHE_READ - 1)).bit_count() if mask & _CACHE_READ else -1
        known = (mask & _INPUT_METERS).bit_count(), (mask & _TOKEN_METERS).bit_count(), cached_place
        _SPLITS[mask] = known
    return known


class Limited:
    """The limits that count one hold, and by how much it raised them."""

    __slots__ = (
        "amounts",
        "asks",
        "clamps",
        "flags",
        "lacks",
        "ledger_places",
        "limits",
        "may_ask",
        "may_reroute",
        "notes",
        "pace_bits",
        "starts",
        "too_fast",
        "would_deny",
    )

    def __init__(self, counting: Counting) -> None:
        self.limits = counting.limits
        self.starts = counting.starts
        self.ledger_places = counting.ledger_places
        self.pace_bits = counting.pace_bits
        self.clamps = counting.clamps
        self.amounts: list[int] = []
        self.flags: dict[int, int] = {}
        """Of those that it would not have fitted, by their place: what the HOLD says of it."""
        self.may_ask = False
        """Whether shares that are too small may be asked for, but those that are known to be `lacks`."""
        self.asks: list[tuple[HotLimit, int]] | None = None
        self.lacks: list[HotLimit] | None = None
        self.may_reroute = True
        self.would_deny = False
        self.too_fast = False
        """Whether its plan's pace would have refused it."""
        self.notes = b""
        """Header lines: what the client is told of them."""

    def room(self, limit: HotLimit) -> int:
        """What of a limit is left for the call: of all of it, where more of it may be asked for."""
        may_ask = self.may_ask and not (self.lacks and limit in self.lacks)
        return (limit.whole_cap if may_ask else limit.cap) - limit.used

    def left_of(self, limit: HotLimit) -> int | None:
        """What is left of all of a limit; None: of a share of it that is not known, for the ledger was not asked."""
        if limit.share == SHARE_WHOLE:
            return limit.cap - limit.used
        if limit.free_share < 0 or not (self.lacks and limit in self.lacks):
            return None
        return limit.part_of_cap(limit.share + limit.free_share) - limit.used

    def asks_for(self, limit: HotLimit, amount: int) -> bool:
        """Whether another share of a limit could let the call in, which is then asked for."""
        if not (self.may_ask and limit.id and limit.used + amount <= limit.whole_cap) or limit.share == SHARE_WHOLE:
            return False
        if self.lacks is not None and limit in self.lacks:
            # of several that were asked for together only one may have been lacking: of this one there was told to be enough
            left = self.left_of(limit)
            if left is None or amount > left:
                return False
        self.asks = [*(self.asks or ()), (limit, amount)]
        return True

    def lift(self) -> None:
        """All of them raised by what `fit` found: the hold is drawn."""
        amounts, starts = self.amounts, self.starts
        for place, limit in enumerate(self.limits):
            amount = amounts[place]
            if starts[place] == limit.start_at:
                limit.used += amount
            else:  # a clock that was set back: it was looked at ahead of this call
                limit.change(starts[place], amount)
            limit.held += amount

    def record(self) -> bytes:
        """What the HOLD says of those that the ledger counts; nothing for none."""
        places = self.ledger_places
        if not places:
            return b""
        limits, starts, amounts, flags = self.limits, self.starts, self.amounts, self.flags
        record = tapes.LIMITS_HEAD.pack(len(places))
        for place in places:
            limit = limits[place]
            record += _RAISE(limit.id, limit.measure, flags.get(place, 0), 0, starts[place], amounts[place])
        return record

    def true_up(self, charge_nanos: int, mask: int, values: list[int]) -> None:
        """The call was settled, with these counts under a mask: each counts what it came to (engine/limiting.counted_for)."""
        input_count, token_count, cached_place = _split(mask)
        input_tokens = output_tokens = place = 0
        while place < input_count:  # compiled, a third of what slices and their sums cost
            input_tokens += values[place]
            place += 1
        while place < token_count:
            output_tokens += values[place]
            place += 1
        cached_tokens = values[cached_place] if cached_place >= 0 else 0
        # in the order of LIMIT_MEASURES; a list, because compiled code makes a tuple anew for each look at it
        self._come_to([charge_nanos, 1, input_tokens + output_tokens, input_tokens - cached_tokens, output_tokens])

    def give_back(self) -> None:
        """The call was released: it counts nothing."""
        self._come_to([0, 0, 0, 0, 0])

    def _come_to(self, came_to: list[int]) -> None:
        amounts, starts = self.amounts, self.starts
        for place, limit in enumerate(self.limits):
            amount = amounts[place]
            change = came_to[limit.measure] - amount
            if starts[place] == limit.start_at:
                limit.used += change
            else:
                limit.change(starts[place], change)
            limit.held -= amount
            if limit.waiting:
                limit.wake()

    def suspend(self) -> None:
        """Its fate is to be found out: it stays raised, and nobody here gives it back."""
        for limit, amount in zip(self.limits, self.amounts, strict=True):
            limit.held -= amount


class Reroute:
    """Not with this model: a limit or the floor sends the call to a cheaper one. Given back to admission once it is known where that is served.

    Or nobody could answer with it, and a deployment names another one: `is_fallback`.
    """

    __slots__ = ("deployment", "floor", "is_fallback", "limit", "model")

    def __init__(self, model: str, limit: str, floor: "HotKey | None" = None, *, is_fallback: bool = False) -> None:
        self.is_fallback = is_fallback
        self.model = model
        self.limit = limit
        self.floor = floor
        """Not a limit but an empty wallet sends it: with whose pool the floor's model is paid."""
        self.deployment: Deployment | None = None
        """None: nowhere here, so the limit's own denial is the answer."""


class HotLimits:
    """All limits of a worker, and which of them count a key's calls."""

    __slots__ = ("_access", "_by_scope", "_calendars", "_revision", "known", "life", "shared")

    def __init__(self) -> None:
        self._access: dict[int, list[HotLimit]] = {}
        """By wallet: its plan's paces, also those that another plan had."""
        self._calendars: tuple[PayCalendar, ...] = ()
        self._revision = 0
        """How often a limit was made or changed."""
        self.known: dict[int, HotLimit] = {}
        self.life = (0, 0)
        """The worker and its epoch."""
        self.shared = False
        """Whether others count calls, too: this worker has a share of each limit, at first of nothing."""
        self._by_scope: dict[tuple[str, int], list[HotLimit]] = {}

    def apply(self, limits: Iterable[LimitTerms]) -> None:
        """New limits, and new terms of known ones."""
        self._revision += 1
        for terms in limits:
            rule = LimitRule(terms)
            limit = self.known.get(terms.id)
            if limit is not None:
                limit.set_rule(rule, terms.scope_text)
                continue
            limit = HotLimit(rule, terms.id, terms.scope_text, terms.counters, self._calendars)
            if self.shared:
                limit.begin_share()
            self.known[terms.id] = limit
            subject = terms.subject_id if terms.scope in _WITH_SUBJECT else 0
            self._by_scope.setdefault((terms.scope, subject), []).append(limit)

    def share(self) -> None:
        """Of a sized lease: from its first moment, before any call."""
        self.shared = True
        for limit in self.known.values():
            limit.begin_share()

    def set_calendars(self, calendars: tuple[PayCalendar, ...]) -> None:
        """Which pay cycles there are: windows of a cycle are found again."""
        self._calendars = calendars
        self._revision += 1
        for limit in self.known.values():
            limit.calendars = calendars
            limit.turn_again()

    def restart(self, limits: Iterable[LimitTerms]) -> None:
        """Everything as the ledger says it: before the first call it knows best."""
        limits = list(limits)
        told = {terms.id for terms in limits}
        self.known = {number: limit for number, limit in self.known.items() if number not in told}
        for scope, known in self._by_scope.items():
            self._by_scope[scope] = [limit for limit in known if limit.id not in told]
        self.apply(limits)

    def change(self, changes: Iterable[CounterChange]) -> None:
        """Calls in suspense that the ledger resolved: those of its own life and, where it has no share, those that it was told of."""
        for one in changes:
            limit = self.known.get(one.limit_id)
            if limit is None:
                continue
            was_told = not self.shared and one.start_at in limit.told_starts
            if was_told or hold_key(one.hold_key)[:2] == self.life:
                limit.change(one.start_at, one.change)

    def of_key(self, terms: KeyTerms) -> list[HotLimit]:
        """Those that may count a key's calls, whatever its model and tags."""
        by_scope = self._by_scope
        found = list(by_scope.get(("company", 0), ()))
        for department_id in terms.department_ids:
            found += by_scope.get(("department", department_id), ())
        found += by_scope.get(("member", terms.member_id), ())
        found += by_scope.get(("key", terms.id), ())
        found += by_scope.get(("model", 0), ())
        return found + by_scope.get(("tag", 0), [])

    def counting(self, key: "HotKey", model: str, tags: str, now: Instant) -> Limited | None:
        """Those of a key's limits that count a call to this model under these tags at `now`; None: none does."""
        known = key.counting
        if (
            known is None
            or now >= known.turns_at
            or known.model != model
            or known.tags != tags
            or known.revision != self._revision
        ):
            known = key.counting = Counting(key.limits, model, tags, now, self._revision)
        return Limited(known) if known.limits else None

    def of_access(self, wallet: "HotWallet") -> list[HotLimit]:
        """How fast a wallet's plan gives access: over the last minute and over the day, counted here alone, since it is no money.

        A minute is soon forgotten; a day begins with what the ledger knows of it, so that another life of this worker goes on with it.
        """
        rules = access_rules(wallet)
        if not rules:
            return []
        known = self._access.setdefault(wallet.id, [])
        scope_text = f"the plan of {wallet.name}"
        found = []
        for rule, used in rules:
            limit = next((one for one in known if one.rule.name == rule.name), None)
            if limit is None:
                limit = HotLimit(rule, 0, scope_text, [(wallet.day_start_at, used)] if used else [])
                known.append(limit)
            elif limit.rule is not rule:
                self._revision += 1
                limit.set_rule(rule, scope_text)
            limit.scope_text = scope_text
            found.append(limit)
        return found


_WITH_SUBJECT: Final = frozenset({LimitScope.DEPARTMENT.value, LimitScope.MEMBER.value, LimitScope.KEY.value})


def paces_of(limits: list[HotLimit], now: Instant, kind_count: int = len(KINDS)) -> list[Pace]:
    """Of each of the first so many kinds the limit with the least left at `now`: the one that refuses first."""
    tightest: list[HotLimit | None] = [None] * kind_count
    for limit in limits:
        kinds = limit.rule.pace_kinds
        if not kinds:
            continue
        if now >= limit.turns_at:
            limit.look(now)
        if limit.holds:
            for kind in kinds:
                if kind < kind_count:
                    known = tightest[kind]
                    if known is None or limit.told_left() < known.told_left():
                        tightest[kind] = limit
    return [
        Pace(kind, limit.whole_cap, limit.told_left(), limit.restored_at(now))
        for kind, limit in enumerate(tightest)
        if limit is not None
    ]


def rerouted(limited: Limited | None, reroute: Reroute) -> Limited:
    """The same for a call that goes to another model: once is enough, and the client is told."""
    limited = Limited(_NOTHING) if limited is None else limited
    limited.may_reroute = False
    if reroute.deployment is not None:
        why = (
            "x-tokenroll-fallback: true"
            if reroute.is_fallback
            else "x-tokenroll-floor: true"
            if reroute.floor is not None
            else f"x-tokenroll-limit: {reroute.limit}; cheaper_model"
        )
        limited.notes = f"{why}\r\nx-tokenroll-model: {reroute.model}\r\n".encode()
    return limited
