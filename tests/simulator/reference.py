"""The reference: what every lot, hold and counter must be, in a few dictionaries and without a line of the product.

`Books` is what the ledger must know, told by what workers did, in the order of their tapes. `Purse` is what one life of a worker must
know, and foretells each of its answers; `Loan` is that of one of several workers, which has a part of everything. A thing that cannot
be (a second end, a lot below zero, the same nanos lent twice) is a violation at once.
"""

from typing import Any, NamedTuple

IN_NANOS, OUT_NANOS, DEAREST_IN_NANOS = 3_000, 15_000, 6_000
"""The rate card's prices of one model token: in, out, and the dearest there may be of what goes in."""
MESSAGE_TOKENS = 16
SLICES_MAX = 254
SUSPENSE_MICROS_MAX = 72 * 3_600_000_000
NEVER = 1 << 62
SHARE_WHOLE = 10**18
SHARE_SLACK = 100
COMPANY = 0
"""The slice of nobody's lot: what the company carries."""
LOT, LIMIT = 0, 1
"""Kinds of what is lent."""


def cost_of(tokens_in: int, tokens_out: int) -> int:
    """What the provider bills for so many tokens, and what the card charges."""
    return tokens_in * IN_NANOS + tokens_out * OUT_NANOS


def bound_of(input_bytes: int, cap: int) -> int:
    """The most that a call may cost: no token is shorter than a byte."""
    return (input_bytes + MESSAGE_TOKENS) * DEAREST_IN_NANOS + cap * OUT_NANOS


class Violation(AssertionError):  # noqa: N818 - what the reports of runs count
    """What must hold did not hold."""


def must(holds: bool, what: str, *values: object) -> None:
    """Raises Violation unless it holds."""
    if not holds:
        raise Violation(what % values if values else what)


class Lot:
    """One lot. Amount = left + lent + held + suspense + spent + taken, always."""

    __slots__ = (
        "amount",
        "effective",
        "expires",
        "held",
        "id",
        "left",
        "lent",
        "owed",
        "priority",
        "spent",
        "suspense",
        "taken",
        "wallet",
    )

    def __init__(self, lot: int, wallet: int, amount: int, effective: int, expires: int, priority: int) -> None:
        self.id, self.wallet, self.amount = lot, wallet, amount
        self.effective, self.expires, self.priority = effective, expires, priority
        self.left = amount
        self.held = self.suspense = self.spent = self.taken = 0
        self.lent: dict[int, int] = {}
        """By worker of several: what it may still hold of the lot, which nobody else may."""
        self.owed: list[list[int]] = []
        """Recalls that returns pay first, oldest first: recall, nanos."""

    def copied(self) -> "Lot":
        """As it is now."""
        one = Lot(self.id, self.wallet, self.amount, self.effective, self.expires, self.priority)
        one.left, one.held, one.suspense, one.spent, one.taken = (
            self.left,
            self.held,
            self.suspense,
            self.spent,
            self.taken,
        )
        one.lent = dict(self.lent)
        return one

    def take(self, worker: int | None, nanos: int, what: str) -> None:
        """Nanos leave what a worker was lent, or what is not lent (None)."""
        there = self.left if worker is None else self.lent.get(worker, 0)
        if not 0 <= nanos <= there:
            must(False, "%s takes %d of lot %d, of which %s has %d", what, nanos, self.id, "nobody" if worker is None else f"worker {worker}", there)  # fmt: skip
        if worker is None:
            self.left -= nanos
        else:
            self.lent[worker] = there - nanos

    def rank(self) -> tuple[int, int, int, int]:
        """In the order of draw: the lower priority number, the earlier expiry, the earlier date, the older lot first."""
        return (self.priority, self.expires, self.effective, self.id)

    def check(self) -> None:
        """Conservation, and nothing below zero (I1, I3)."""
        parts = (self.left, self.held, self.suspense, self.spent, self.taken, *self.lent.values())
        must(min(parts) >= 0 and sum(parts) == self.amount, "lot %d of %d is %s", self.id, self.amount, parts)


class Hold:
    """One attempt. `state`: held, sent, suspense."""

    __slots__ = ("bound", "call", "evidence", "key", "lapsed_at", "raises", "slices", "state", "wallet")

    def __init__(self, key: int, wallet: int, call: str, bound: int, slices: list[tuple[int, int]], raises: list[tuple[int, int, int]]) -> None:  # fmt: skip
        self.key, self.wallet, self.call, self.bound, self.slices, self.raises = (
            key,
            wallet,
            call,
            bound,
            slices,
            raises,
        )
        self.state = "held"
        self.evidence = (0, 0)
        self.lapsed_at = 0

    def copied(self) -> "Hold":
        """As it is now."""
        one = Hold(self.key, self.wallet, self.call, self.bound, self.slices, self.raises)
        one.state, one.evidence, one.lapsed_at = self.state, self.evidence, self.lapsed_at
        return one


def _more(sums: dict[tuple[int, int], int], of: tuple[int, int], nanos: int) -> None:
    sums[of] = sums.get(of, 0) + nanos


class Books:
    """Lots, open holds, how holds ended, counters of limits."""

    def __init__(self) -> None:
        self.lots: dict[int, Lot] = {}
        self.holds: dict[int, Hold] = {}
        self.ended: dict[int, tuple[str, int]] = {}
        """How, and for how much; never a second time (I5)."""
        self.counters: dict[tuple[int, int], int] = {}
        self.clients: dict[tuple[int, str], int] = {}
        """By key and the client's own call id: the hold."""
        self.company = self.overrun = 0
        """What nobody's lots paid; and of that, what calls cost above their holds."""
        self.carried: dict[tuple[int, int], int] = {}
        """The same by wallet and worker, with what it holds in suspense."""
        self.carries: dict[tuple[int, int], int] = {}
        """What it holds of calls under way, likewise."""
        self.sized: dict[int, tuple[int, int]] = {}
        """By worker that was lent what it spends: in which life, and as the how manieth."""
        self.shares: dict[tuple[int, int], int] = {}
        """By worker and limit: which part of the cap it may use."""
        self.uses: dict[tuple[int, int, int], int] = {}
        """By worker, limit and start: what its present life has counted."""

    def add(self, lot: Lot) -> None:
        """A lot that was granted, or that came of another."""
        must(lot.id not in self.lots, "lot %d was made twice", lot.id)
        self.lots[lot.id] = lot

    def hold(self, key: int, wallet: int, call: str, bound: int, slices: list[tuple[int, int]], raises: list[tuple[int, int, int]], client: tuple[int, str] | None) -> None:  # fmt: skip
        """Money leaves its lots before anything is sent."""
        must(key not in self.holds and key not in self.ended, "hold %d began twice", key)
        must(
            sum(nanos for _, nanos in slices) == bound, "hold %d holds other than its bound %d: %s", key, bound, slices
        )
        worker = self._spends(key)
        for lot_id, nanos in slices:
            if lot_id == COMPANY:
                _more(self.carries, (wallet, key >> 56), nanos)
                continue
            lot = self.lots[lot_id]
            lot.take(worker, nanos, f"hold {key}")
            lot.held += nanos
        for limit, start, amount in raises:
            self._count(key, limit, start, amount)
        self.holds[key] = Hold(key, wallet, call, bound, slices, raises)
        if client is not None:
            self.clients[client] = key

    def sent(self, keys: list[int]) -> None:
        """DISPATCHED: from here on the provider may bill it."""
        for key in keys:
            must(self.holds[key].state == "held", "hold %d was sent while %s", key, self.holds[key].state)
            self.holds[key].state = "sent"

    def seen(self, key: int, tokens: tuple[int, int]) -> None:
        """EVIDENCE: the newest counts."""
        self.holds[key].evidence = tokens

    def lapse(self, key: int, at: int) -> None:
        """Into suspense."""
        hold = self.holds[key]
        must(hold.state != "suspense", "hold %d lapsed twice", key)
        hold.state, hold.lapsed_at = "suspense", at
        for lot_id, nanos in hold.slices:
            if lot_id == COMPANY:
                _more(self.carries, (hold.wallet, key >> 56), -nanos)
                _more(self.carried, (hold.wallet, key >> 56), nanos)
                continue
            self.lots[lot_id].held -= nanos
            self.lots[lot_id].suspense += nanos

    def end(self, key: int, how: str, charge: int) -> None:
        """Settled or released: the charge takes the slices in their order, the tail goes back to the same lots."""
        must(key in self.holds, "hold %d ended twice, or never began", key)
        hold = self.holds.pop(key)
        must(how == "settled" or charge == 0, "hold %d was released for %d", key, charge)
        self.ended[key] = (how, charge)
        rest = charge
        worker = None if hold.state == "suspense" else self._spends(key)
        for lot_id, nanos in hold.slices:
            used = min(rest, nanos)
            rest -= used
            if lot_id == COMPANY:
                _more(self.carried if hold.state == "suspense" else self.carries, (hold.wallet, key >> 56), -nanos)
                self._carry(hold, used)
                continue
            lot = self.lots[lot_id]
            if hold.state == "suspense":
                lot.suspense -= nanos
            else:
                lot.held -= nanos
            lot.spent += used
            self.back(lot, nanos - used, worker)
        self._carry(hold, rest)
        self.overrun += rest
        for limit, start, amount in hold.raises:
            came_to = 0 if how == "released" else charge if amount == hold.bound else 1
            self._count(key, limit, start, came_to - amount)

    def _carry(self, hold: Hold, nanos: int) -> None:
        """The company pays so much of that call."""
        self.company += nanos
        _more(self.carried, (hold.wallet, hold.key >> 56), nanos)

    def _spends(self, key: int) -> int | None:
        """The worker of a hold whose money is what that worker was lent; None: it is what is left."""
        worker = key >> 56
        return worker if worker in self.sized else None

    def _count(self, key: int, limit: int, start: int, change: int) -> None:
        """In the limit's counter, and in the part of it that is the present life's of that worker."""
        self.counters[limit, start] = self.counters.get((limit, start), 0) + change
        worker = key >> 56
        if worker in self.sized and self.sized[worker][0] == key >> 40 & 0xFFFF:
            self.uses[worker, limit, start] = self.uses.get((worker, limit, start), 0) + change

    def back(self, lot: Lot, nanos: int, worker: int | None = None) -> None:
        """Free again, for whoever it was taken from."""
        if worker is None:
            lot.left += nanos
        else:
            lot.lent[worker] = lot.lent.get(worker, 0) + nanos

    def give(self, worker: int, gives: list[tuple[int, int, int]]) -> None:
        """LEASE: parts of lots that were asked back have left them. One of several workers gives them to the ledger, which decides."""
        for _, lot_id, nanos in gives:
            lot = self.lots[lot_id]
            if worker in self.sized:
                lot.take(worker, nanos, "a give")
                lot.left += nanos
            else:
                lot.take(None, nanos, "a give")
                lot.taken += nanos

    # ---- what is lent ----------------------------------------------------------------------------------------

    def lend(self, worker: int, epoch: int, parts: list[tuple[int, int, int]]) -> None:
        """Nanos and shares to a worker's present life: what nobody else has."""
        must(
            worker in self.sized and self.sized[worker][0] == epoch,
            "epoch %d of worker %d was lent something",
            epoch,
            worker,
        )
        for kind, number, amount in parts:
            if kind == LOT:
                lot = self.lots[number]
                must(amount > 0, "%d of lot %d were lent", amount, number)
                lot.take(None, amount, f"worker {worker}'s loan")
                lot.lent[worker] = lot.lent.get(worker, 0) + amount
            else:
                self.shares[worker, number] = self.shares.get((worker, number), 0) + amount
                whole = sum(share for (_, limit), share in self.shares.items() if limit == number)
                must(amount > 0 and whole <= SHARE_WHOLE, "shares of limit %d are %d of %d", number, whole, SHARE_WHOLE)

    def returned(self, worker: int, parts: list[tuple[int, int, int]]) -> None:
        """RETURN: what a worker does not need is the ledger's again."""
        for kind, number, amount in parts:
            if kind == LOT:
                self.lots[number].take(worker, amount, "a return")
                self.lots[number].left += amount
            else:
                there = self.shares.get((worker, number), 0)
                must(0 <= amount <= there, "%d of limit %d were returned, of %d", amount, number, there)
                self.shares[worker, number] = there - amount

    def end_lease(self, worker: int) -> None:
        """That worker's life is over and told: everything it has left is the ledger's."""
        self.sized.pop(worker, None)
        for lot in self.lots.values():
            lot.left += lot.lent.pop(worker, 0)
        self.shares = {one: share for one, share in self.shares.items() if one[0] != worker}
        self.uses = {one: used for one, used in self.uses.items() if one[0] != worker}

    def copied(self) -> "Books":
        """As it is now."""
        one = Books()
        one.lots = {lot.id: lot.copied() for lot in self.lots.values()}
        one.holds = {hold.key: hold.copied() for hold in self.holds.values()}
        one.ended, one.counters, one.clients = dict(self.ended), dict(self.counters), dict(self.clients)
        one.company, one.overrun = self.company, self.overrun
        one.carried, one.carries = dict(self.carried), dict(self.carries)
        one.sized, one.shares, one.uses = dict(self.sized), dict(self.shares), dict(self.uses)
        return one


class Asked(NamedTuple):
    """A call at the door."""

    key: int
    wallet: int
    pool: int
    bound: int
    client: tuple[int, str] | None
    may_wait: bool


class Terms(NamedTuple):
    """A limit, as a worker is told it. `micros`: the length of its window, which begins at multiples of it."""

    id: int
    key: int
    member: int
    counts_calls: bool
    cap: int
    effective: int
    expires: int
    micros: int

    def start(self, now: int) -> int:
        """Of the window that it is now."""
        return now - now % self.micros

    def holds(self, now: int) -> bool:
        """Whether it counts anything at all."""
        return self.effective <= now < self.expires

    def amount(self, asked: Asked) -> int:
        """What a call raises it by."""
        return 1 if self.counts_calls else asked.bound


class Purse(Books):
    """What one life of a worker may spend and has spent."""

    def __init__(self, leased: Books) -> None:
        super().__init__()
        self.lots = leased.lots
        self.holds = {}
        self.clients = leased.clients
        self.counters = leased.counters
        self.carried = dict(leased.carried)
        self.number, self.of = 0, 1
        """Which worker's, of how many."""
        self.overage: dict[int, int] = {}
        """By wallet: how much its plan lets the company carry, as the ledger told."""
        self.limits: dict[int, Terms] = {}
        self.told: set[tuple[int, int]] = set()
        """Limits and starts of which it was told what was counted before."""
        self.given: list[tuple[int, int, int]] = []
        self.stamped = 0

    def stamp(self, now: int) -> int:
        """Recorded instants never go back within a life, whatever the clock does."""
        self.stamped = max(self.stamped, now)
        return self.stamped

    def back(self, lot: Lot, nanos: int, worker: int | None = None) -> None:
        """What is owed of the lot to recalls is paid first."""
        while nanos and lot.owed:
            recall = lot.owed[0]
            paid = min(nanos, recall[1])
            recall[1] -= paid
            nanos -= paid
            lot.taken += paid
            self.given.append((recall[0], lot.id, paid))
            if not recall[1]:
                lot.owed.pop(0)
        lot.left += nanos

    def recalled(self, recalls: list[Any], now: int) -> None:
        """All of a group or nothing where it is to be whole; else what is there, and where it is owed the rest later."""
        free = {}
        for one in recalls:
            lot = self.lots.get(one.lot_id)
            gone = lot is None or (one.mode == "whole" and lot.expires <= now)
            free[one.id] = 0 if gone or lot is None else lot.left
        short = {one.group_id for one in recalls if one.mode == "whole" and free[one.id] < one.wanted_nanos}
        for one in recalls:
            lot = self.lots.get(one.lot_id)
            there = (
                0 if one.group_id in short or lot is None or (one.mode == "whole" and lot.expires <= now) else lot.left
            )
            given = min(there, one.wanted_nanos)
            self.given.append((one.id, one.lot_id, given))
            if lot is not None:
                lot.left -= given
                lot.taken += given
                if one.mode == "owed" and given < one.wanted_nanos:
                    lot.owed.append([one.id, one.wanted_nanos - given])

    def resolved(self, lot_id: int, returned: int, spent: int) -> None:
        """Out of suspense, as the ledger decided."""
        lot = self.lots[lot_id]
        lot.suspense -= returned + spent
        lot.spent += spent
        self.back(lot, returned)

    def found(self, wallet: int, worker: int, change: int) -> None:
        """A call in suspense was found out: so much more of it is the company's than it held, or less."""
        if worker == self.number:
            _more(self.carried, (wallet, worker), change)

    # ---- what it must answer ---------------------------------------------------------------------------------

    def overage_left(self, wallet: int) -> int:
        """What the company may yet carry of a wallet's calls here: an equal part of all, less what any life here carried."""
        own = (wallet, self.number)
        return self.overage.get(wallet, 0) // self.of - self.carried.get(own, 0) - self.carries.get(own, 0)

    def drawable(self, wallet: int, now: int) -> list[Lot]:
        """In draw order: the lower priority number, the earlier expiry, the earlier date, the older lot first (I7, I8)."""
        lots = [lot for lot in self.lots.values() if lot.wallet == wallet and lot.effective <= now < lot.expires]
        return sorted(lots, key=Lot.rank)

    def slices(self, asked: Asked, now: int) -> tuple[list[tuple[int, int]], int]:
        """What must be held of which lots, and what is missing."""
        need, found = asked.bound, []
        for wallet in (asked.wallet, asked.pool):
            for lot in self.drawable(wallet, now) if wallet else ():
                taken = min(need, lot.left)
                if taken:
                    found.append((lot.id, taken))
                    need -= taken
        return found, need

    def answer(self, asked: Asked, now: int) -> str:
        """`admitted`, or the one reason why not. Anything else is a false denial, or an overdraft."""
        if asked.client is not None and asked.client in self.clients:
            return "call_repeated"
        slices, missing = self.slices(asked, now)
        if missing > max(0, self.overage_left(asked.wallet)):
            own = (asked.wallet, asked.pool)
            held = sum(lot.held for lot in self.lots.values() if lot.wallet in own)
            return "wait" if asked.may_wait and missing <= held else "wallet_empty"
        if any(not self._fits(one, asked, now) for one in self.limits.values()):
            return "limit_reached"
        return "admitted" if len(slices) <= SLICES_MAX else "too_many_lots"

    def _counts(self, limit: Terms, asked: Asked, now: int) -> bool:
        return limit.holds(now) and limit.member in {0, asked.wallet} and limit.key in {0, asked.key}

    def _fits(self, limit: Terms, asked: Asked, now: int) -> bool:
        used = self.counters.get((limit.id, limit.start(now)), 0)
        return not self._counts(limit, asked, now) or used + limit.amount(asked) <= limit.cap

    def raises(self, asked: Asked, now: int) -> list[tuple[int, int, int]]:
        """Which counters the call raises, and by how much."""
        return [
            (one.id, one.start(now), one.amount(asked)) for one in self.limits.values() if self._counts(one, asked, now)
        ]


class Loan(Purse):
    """What one life of one of several workers may spend: nothing, until it is lent, and of limits what its own calls count."""

    def __init__(self, leased: Books, life: tuple[int, int]) -> None:
        super().__init__(leased)
        for lot in self.lots.values():
            lot.left = lot.held = lot.suspense = 0
            lot.lent = {}
        self.counters = {}
        self.life = life
        self.parts: dict[int, int] = {}
        """By limit: this life's share."""
        self.wanted: set[int] = set()
        """Numbers of wants that are not answered."""
        self.met: set[int] = set()

    def recalled(self, recalls: list[Any], now: int) -> None:
        """What is there is given, whatever was to be whole: the ledger decides. What calls hold here is owed."""
        del now
        for one in recalls:
            lot = self.lots.get(one.lot_id)
            given = 0 if lot is None else min(lot.left, one.wanted_nanos)
            self.given.append((one.id, one.lot_id, given))
            if lot is not None:
                lot.left -= given
                holds = any(other.held for other in self.lots.values() if other.wallet == lot.wallet)
                if one.mode == "owed" and given < one.wanted_nanos and holds:
                    lot.owed.append([one.id, one.wanted_nanos - given])

    def resolved(self, lot_id: int, returned: int, spent: int) -> None:
        """Out of suspense it came to the ledger."""

    def lent(self, number: int, lots: list[tuple[int, int, int]], shares: list[tuple[int, int]]) -> None:
        """The answer to a want; said twice, it is heard once."""
        self.wanted.discard(number)
        if number in self.met:
            return
        self.met.add(number)
        for _, lot_id, nanos in lots:
            self.back(self.lots[lot_id], nanos)
        for limit, share in shares:
            self.parts[limit] = self.parts.get(limit, 0) + share

    def spare(self, wallets: list[int], limits: list[int], now: int) -> list[tuple[int, int, int]]:
        """What another worker may have: all that no call holds or has used. It is gone from here."""
        parts = []
        for lot in self.lots.values():
            if lot.wallet in wallets and lot.left > 0:
                parts.append((LOT, lot.id, lot.left))
                lot.left = 0
        for limit in limits:
            share = self.parts.get(limit, 0)
            terms = self.limits.get(limit)
            used = self.counters.get((limit, terms.start(now)), 0) if terms is not None and terms.holds(now) else 0
            needed = 0 if terms is None else -(-max(0, used) * SHARE_WHOLE // terms.cap)
            if share > needed:
                self.parts[limit] = needed
                parts.append((LIMIT, limit, share - needed))
        return parts

    def idle(self, parts: list[tuple[int, int, int]]) -> None:
        """What lay idle goes back: of a wallet nothing of which is held."""
        for _, lot_id, nanos in parts:
            lot = self.lots[lot_id]
            must(nanos == lot.left and not lot.held, "lot %d returns %d of %d, and %d are held", lot_id, nanos, lot.left, lot.held)  # fmt: skip
            lot.left = 0

    def answers(
        self,
        asked: Asked,
        now: int,
        said: tuple[dict[int, int], dict[int, int], int] | None,
        *,
        is_late: bool,
        are_clocks_set: bool,
    ) -> set[str]:
        """What the call may be told. `said`: what there was, of wallets and limits, when the ledger said that it is not enough; and of
        wallets without what nobody was asked for.

        `is_late`: it has waited for as long as it may. What fits here must be admitted; what does not is asked for.
        """
        if asked.client is not None and asked.client in self.clients:
            return {"call_repeated"}
        slices, missing = self.slices(asked, now)
        short = [one for one in self.limits.values() if not self._fits(one, asked, now)]
        if not missing and not short:
            return {"admitted" if len(slices) <= SLICES_MAX else "too_many_lots"}
        allowed = {"not_ready" if is_late else "ask"}
        if any(
            self._counts(one, asked, now) and self.used(one, now) + one.amount(asked) > one.cap
            for one in self.limits.values()
        ):
            allowed = {"limit_reached"} if said is None and not is_late else {"limit_reached", *allowed}
        if said is None:
            return allowed
        free, used, told = said
        if missing > told and asked.may_wait:
            allowed.add("wait")  # for a moment, and asks again: it lacks more than it did
        if missing > sum(free.get(one, 0) for one in (asked.wallet, asked.pool)):
            allowed |= {"wallet_empty", "wait"} if asked.may_wait else {"wallet_empty"}
        for one in short:
            lacks = one.id in used and used[one.id] + self.used(one, now) + one.amount(asked) > one.cap
            if lacks or (are_clocks_set and one.id in used):
                allowed.add("limit_reached")
        return allowed

    def used(self, limit: Terms, now: int) -> int:
        """What this life has counted in the window that it is now."""
        return self.counters.get((limit.id, limit.start(now)), 0)

    def _fits(self, limit: Terms, asked: Asked, now: int) -> bool:
        part = self.parts.get(limit.id, 0)
        cap = limit.cap * min(SHARE_WHOLE, part + SHARE_SLACK if part else 0) // SHARE_WHOLE
        return not self._counts(limit, asked, now) or self.used(limit, now) + limit.amount(asked) <= cap
