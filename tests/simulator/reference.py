"""The reference: what every lot, hold and counter must be, in a few dictionaries and without a line of the product.

`Books` is what the ledger must know, told by what workers did, in the order of their tapes. `Purse` is what one life of a worker must
know, and foretells each of its answers. A thing that cannot be (a second end, a lot below zero) is a violation at once.
"""

from typing import Any, NamedTuple

IN_NANOS, OUT_NANOS, DEAREST_IN_NANOS = 3_000, 15_000, 6_000
"""The rate card's prices of one model token: in, out, and the dearest there may be of what goes in."""
MESSAGE_TOKENS = 16
SLICES_MAX = 254
SUSPENSE_MICROS_MAX = 72 * 3_600_000_000
NEVER = 1 << 62


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
    """One lot. Amount = left + held + suspense + spent + taken, always."""

    __slots__ = (
        "amount",
        "effective",
        "expires",
        "held",
        "id",
        "left",
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
        return one

    def check(self) -> None:
        """Conservation, and nothing below zero (I1, I3)."""
        parts = (self.left, self.held, self.suspense, self.spent, self.taken)
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
        self.company = 0
        """What calls cost above their holds: nobody's lots pay that."""

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
        for lot_id, nanos in slices:
            lot = self.lots[lot_id]
            must(0 < nanos <= lot.left, "hold %d takes %d of lot %d, which has %d left", key, nanos, lot_id, lot.left)
            lot.left -= nanos
            lot.held += nanos
        for limit, start, amount in raises:
            self.counters[limit, start] = self.counters.get((limit, start), 0) + amount
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
            self.lots[lot_id].held -= nanos
            self.lots[lot_id].suspense += nanos

    def end(self, key: int, how: str, charge: int) -> None:
        """Settled or released: the charge takes the slices in their order, the tail goes back to the same lots."""
        must(key in self.holds, "hold %d ended twice, or never began", key)
        hold = self.holds.pop(key)
        must(how == "settled" or charge == 0, "hold %d was released for %d", key, charge)
        self.ended[key] = (how, charge)
        rest = charge
        for lot_id, nanos in hold.slices:
            lot = self.lots[lot_id]
            if hold.state == "suspense":
                lot.suspense -= nanos
            else:
                lot.held -= nanos
            used = min(rest, nanos)
            rest -= used
            lot.spent += used
            self.back(lot, nanos - used)
        self.company += rest
        for limit, start, amount in hold.raises:
            came_to = 0 if how == "released" else charge if amount == hold.bound else 1
            self.counters[limit, start] += came_to - amount

    def back(self, lot: Lot, nanos: int) -> None:
        """Free again."""
        lot.left += nanos

    def give(self, gives: list[tuple[int, int, int]]) -> None:
        """LEASE: parts of lots that were asked back have left them."""
        for _, lot_id, nanos in gives:
            lot = self.lots[lot_id]
            must(0 <= nanos <= lot.left, "%d of lot %d were given, which has %d left", nanos, lot_id, lot.left)
            lot.left -= nanos
            lot.taken += nanos

    def copied(self) -> "Books":
        """As it is now."""
        one = Books()
        one.lots = {lot.id: lot.copied() for lot in self.lots.values()}
        one.holds = {hold.key: hold.copied() for hold in self.holds.values()}
        one.ended, one.counters, one.clients = dict(self.ended), dict(self.counters), dict(self.clients)
        one.company = self.company
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


class Purse(Books):
    """What one life of a worker may spend and has spent."""

    def __init__(self, leased: Books) -> None:
        super().__init__()
        self.lots = leased.lots
        self.holds = {}
        self.clients = leased.clients
        self.counters = leased.counters
        self.limits: dict[int, Terms] = {}
        self.given: list[tuple[int, int, int]] = []
        self.stamped = 0

    def stamp(self, now: int) -> int:
        """Recorded instants never go back within a life, whatever the clock does."""
        self.stamped = max(self.stamped, now)
        return self.stamped

    def back(self, lot: Lot, nanos: int) -> None:
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

    # ---- what it must answer ---------------------------------------------------------------------------------

    def drawable(self, wallet: int, now: int) -> list[Lot]:
        """In draw order: the lower priority number, the earlier expiry, the earlier date, the older lot first (I7, I8)."""
        lots = [lot for lot in self.lots.values() if lot.wallet == wallet and lot.effective <= now < lot.expires]
        return sorted(lots, key=lambda lot: (lot.priority, lot.expires, lot.effective, lot.id))

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
        if missing:
            own = (asked.wallet, asked.pool)
            held = sum(lot.held for lot in self.lots.values() if lot.wallet in own)
            return "wait" if asked.may_wait and missing <= held else "wallet_empty"
        if any(not self._fits(one, asked, now) for one in self.limits.values()):
            return "limit_reached"
        return "admitted" if len(slices) <= SLICES_MAX else "too_many_lots"

    def _counts(self, limit: Terms, asked: Asked, now: int) -> bool:
        return (
            limit.effective <= now < limit.expires and limit.member in {0, asked.wallet} and limit.key in {0, asked.key}
        )

    def _fits(self, limit: Terms, asked: Asked, now: int) -> bool:
        amount = 1 if limit.counts_calls else asked.bound
        used = self.counters.get((limit.id, limit.start(now)), 0)
        return not self._counts(limit, asked, now) or used + amount <= limit.cap

    def raises(self, asked: Asked, now: int) -> list[tuple[int, int, int]]:
        """Which counters the call raises, and by how much."""
        return [
            (one.id, one.start(now), 1 if one.counts_calls else asked.bound)
            for one in self.limits.values()
            if self._counts(one, asked, now)
        ]
