"""A sized lease at its worker: what it wants of the ledger, what it was lent, what goes back (DESIGN §5).

Calls that are short wait for one answer together. It asks ahead when little is left, returns what others need and what lay idle.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final

import msgspec

from tokenroll.model.enforcement import Enforcement
from tokenroll.model.instant import Instant
from tokenroll.model.limits import (
    LEASE_ASKED_AGAIN_MILLIS,
    LEASE_CALLS,
    LEASE_CALLS_MAX,
    LEASE_LASTS_MICROS,
    LEASE_RENEWED_SHARE,
    SHARE_WHOLE,
    WAITING_CALLS_MAX,
)
from tokenroll.services.claims import Claims, not_answered
from tokenroll.services.cold_terms import Wallets
from tokenroll.services.hot import HotHold, HotLot, HotWallet, Wait
from tokenroll.services.hot_limits import HotLimits, Reroute
from tokenroll.services.lease_deadline import LeaseDeadline
from tokenroll.services.protocol import AskBack, Claim, Elsewhere, Lacking, Lent, Want
from tokenroll.store import tape
from tokenroll.store.tape import LIMIT, LOT
from tokenroll.upstream.dialect import Denial

Part = tuple[int, int, int]
"""Kind, id and amount, as a RETURN record has it."""
_Ids = tuple[int, ...]
_ASKED_AGAIN_MICROS: Final = LEASE_ASKED_AGAIN_MILLIS * 1000
_LACKED_KEPT: Final = 1024
"""Wants that were not met and said again, of which nothing is forgotten."""
_AGES: Final = 8
"""The dearest call of late counts an eighth less with each want."""


class WhenCutOff(StrEnum):
    """What becomes of a call that needs more than its node has, while the node cannot ask its ledger."""

    DENY = "deny"
    ALLOW = "allow"
    RETRY_THEN_DENY = "retry_then_deny"


class _Asked:
    """A want on its way, and the calls that wait for its answer."""

    __slots__ = ("ids", "waits", "want")

    def __init__(self, want: Want, ids: _Ids, waits: list[Wait]) -> None:
        self.want = want
        self.ids = ids
        self.waits = waits


class _Promised:
    """What calls that were woken take in a moment, so that nobody else counts on it."""

    __slots__ = ("amounts", "nanos")

    def __init__(self) -> None:
        self.nanos = 0
        self.amounts: dict[int, int] = {}
        """By limit, what they raise it by."""

    def add(self, wait: Wait) -> None:
        """One more is woken."""
        self.nanos += wait.needed_nanos
        for limit, amount in wait.asks or ():
            self.amounts[limit.id] = self.amounts.get(limit.id, 0) + amount


class SizedLease:
    """What one of several workers was lent, of wallets and limits that it knows whole."""

    def __init__(
        self, worker: int, epoch: int, wallets: Wallets, limits: HotLimits, fill: Callable[[HotLot, int], None]
    ) -> None:
        self.say: Callable[[Want | Claim], None] = _nobody
        """Tells the ledger."""
        self.claims = Claims(worker, epoch, self._tell)
        self.deadline: LeaseDeadline | None = None
        """Of a node: until when its lease counts."""
        self.when_cut_off = WhenCutOff.RETRY_THEN_DENY
        self.beyond_max_nanos = 0
        """What the company carries at most of calls that are allowed while the node is cut off."""
        self._beyond: list[HotHold] = []
        """Holds of such calls, as far as it is not counted what they came to."""
        self._beyond_nanos = 0
        """What the others came to."""
        self.may_ask = False
        """Whether the call that is looked at may ask the ledger for what is missing."""
        self._worker = worker
        self._epoch = epoch
        self._wallets = wallets
        self._limits = limits
        self._fill = fill
        """Makes nanos of a lot free here."""
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._lacked: set[int] = set()
        """Wants that were said again and not met: the one may be met yet that was said last."""
        self._lacked_before: set[int] = set()
        """Likewise those of before the last look for idle lots, and where they are few all older ones: a line may stand still for long."""
        self._on_its_way: set[_Ids] = set()
        self._queues: dict[_Ids, dict[Wait, None]] = {}
        """In the order in which they came."""
        self._lots: dict[int, HotLot] = {}
        """Lots that something was lent of and is not back."""
        self._lefts: dict[int, int] = {}
        """What they had left at the last look for idle ones."""
        self._asks_again: dict[int, Instant] = {}
        """By wallet, as far as calls of it have waited for what others hold since the last look for idle ones."""
        self._wanted: dict[int, tuple[Instant, int]] = {}
        """By wallet, when more of it was wanted last and for how many calls, since the last look for idle ones."""
        self._places: dict[int, int] = {}
        """By wallet, how many calls wait for what others hold of it: beside its own queue those that ask once more."""
        self.want_count = 0
        self.lack_count = 0

    # ---- calls that their clients named -----------------------------------------------------------------------------

    def named(self, client: tuple[int, str], asked: Wait | None) -> Denial | Wait | None:
        """What is told to a call of a name that this worker has not sent; None: it may be sent."""
        found = self.claims.needed(client, asked)
        cut_off = self.deadline is not None and self.deadline.is_cut_off
        if type(found) is Wait and cut_off and self.when_cut_off is not WhenCutOff.RETRY_THEN_DENY:
            return not_answered(client[1])  # a wallet may be trusted beyond the lease, a name is used or not
        return found

    def _tell(self, claim: Claim) -> None:
        self.say(claim)

    # ---- calls that are short --------------------------------------------------------------------------------------

    def begin(self, hold: HotHold, here: int, asked: Wait | None) -> int:
        """What a call may count on: also what is elsewhere, unless that was asked for and did not come in time."""
        self.may_ask = asked is None
        limited = hold.limited
        if limited is not None:
            limited.may_ask = asked is None or asked.lacked
            limited.lacks = None if asked is None else [limit for limit, _ in asked.asks or ()]
        if asked is not None and not asked.lacked:
            return here
        pool = hold.key.pool
        return here + hold.key.wallet.elsewhere_nanos + (pool.elsewhere_nanos if pool is not None else 0)

    @property
    def has_nothing_to_spend(self) -> bool:
        """Whether every call is refused, or waits in vain: a node's lease is over, and nothing is allowed beyond it."""
        return self.deadline is not None and not self.deadline.counts and self.when_cut_off is not WhenCutOff.ALLOW

    @staticmethod
    def left_of_all(hold: HotHold, available: int) -> int:
        """What a call's wallets have left, for people: also what the ledger said last that is elsewhere, unless the call would fit then.

        It was denied for what there was when it asked, and that is what it should read.
        """
        key = hold.key
        left = key.wallet.available_nanos + key.wallet.elsewhere_nanos
        left += 0 if key.pool is None else key.pool.available_nanos + key.pool.elsewhere_nanos
        return left if available <= left < hold.bound_nanos else available

    def here(self, here: int) -> int:
        """What a call may be paid of: nothing once the lease counts no more."""
        return here if self.deadline is None or self.deadline.counts else 0

    def refusal(
        self, hold: HotHold, here: int, refusal: Denial | Wait | Reroute | None, asked: Wait | None
    ) -> Denial | Wait | Reroute | None:
        """What becomes of a call by what it was lent. A ledger that did not answer in time has not said that there is no more."""
        cut_off = self.deadline is not None and self.deadline.is_cut_off
        short = self._short(hold, here) if refusal is None else None
        if asked is not None and asked.told is not None and (refusal is not None or short is not None):
            return asked.told
        if refusal is None and short is not None:
            return self._cut_off(hold, here, short) if cut_off else short
        if asked is not None and not asked.lacked:
            # what the wallets may have the company does not carry
            lacks = "wallet_empty" if refusal is None and hold.on_overage else ""
            if type(refusal) is Denial:
                lacks = refusal.code
            # who waited for a pace has not asked for money at all, and who waited for that or for money not for shares of limits
            if lacks == "limit_reached":
                not_asked = self._may_be_lent(hold)
            else:
                not_asked = asked.limit is not None and lacks == "wallet_empty"
            if lacks and (asked.asks is not None or not_asked) and not self._has_lacked(asked, lacks):
                return self._not_ready(hold, cut_off=cut_off)
        return refusal

    @staticmethod
    def _may_be_lent(hold: HotHold) -> bool:
        """Whether the limit that refused a call, the first whose amount is not known, may let it in with another share."""
        if hold.limited is None:
            return False
        limit = hold.limited.limits[len(hold.limited.amounts)]
        amount = limit.rule.amount_of(hold)
        return limit.id > 0 and limit.share < SHARE_WHOLE and limit.used + amount <= limit.whole_cap

    @staticmethod
    def _has_lacked(asked: Wait, code: str) -> bool:
        """Whether the ledger has said while the call waited that just this is lacking: then it may be denied for it.

        Of a want of money and of a limit it does not say which, nor of two limits.
        """
        before = asked.lacked_before
        need, limits = (0, []) if before is None else before.lacks
        if code == "wallet_empty":
            return need > 0 and not limits
        return not need and len(limits) == 1 and limits == [limit.id for limit, _ in asked.asks or ()]

    def _cut_off(self, hold: HotHold, here: int, short: Wait) -> Wait | Denial | None:
        """The policy for calls that need more than there is here, with nobody to ask. Limits are never passed."""
        missing = short.needed_nanos - here
        if not (short.asks or hold.on_overage) and (
            hold.key.wallet.enforcement != Enforcement.ENFORCE
            or (self._allows(short) and missing <= self._beyond_left_nanos())
        ):
            hold.company_nanos += missing
            hold.would_deny = True
            if hold.key.wallet.enforcement == Enforcement.ENFORCE:
                self._beyond.append(hold)
            return None
        return short if self.when_cut_off is WhenCutOff.RETRY_THEN_DENY else self._not_ready(hold, cut_off=True)

    def _allows(self, short: Wait) -> bool:
        """Whether it is allowed, and the wallets had as much when the ledger spoke last: nobody is given what he did not have."""
        has = sum(one.available_nanos + one.elsewhere_nanos for one in short.wallets)
        return self.when_cut_off is WhenCutOff.ALLOW and short.needed_nanos <= has

    def _beyond_left_nanos(self) -> int:
        """What the company may still carry. A call that ended counts with what it cost beyond its own lots, as the ledger books it."""
        held = 0
        open_holds = []
        for one in self._beyond:
            if one.state == "held":
                open_holds.append(one)
                held += one.company_nanos
            elif one.state == "suspense":
                self._beyond_nanos += one.company_nanos
            else:
                self._beyond_nanos += max(0, one.charge_nanos - (one.bound_nanos - one.company_nanos))
        self._beyond = open_holds
        return self.beyond_max_nanos - self._beyond_nanos - held

    def renewed(self) -> None:
        """The ledger can be asked again: what was allowed beyond it is reported, and the next time begins anew but for what is open."""
        self._beyond_left_nanos()
        self._beyond_nanos = 0

    @staticmethod
    def _not_ready(hold: HotHold, *, cut_off: bool) -> Denial:
        return Denial("not_ready", scope=hold.key.funding_text, state="cut_off" if cut_off else "unanswered")

    @staticmethod
    def _short(hold: HotHold, here: int) -> Wait | None:
        """How a call waits for what its wallets and limits lack; None when they lack nothing."""
        key, need = hold.key, hold.bound_nanos - hold.company_nanos
        asks = None if hold.limited is None else hold.limited.asks
        if need <= here and not asks:
            return None
        return Wait(need, (key.first,) if key.second is None else (key.first, key.second), asks=asks or [])

    def wait(self, wait: Wait) -> None:
        """A call waits for what its wallets and limits lack here, or for the name that its client gave it."""
        if wait.client is not None:
            self.claims.wait(wait)
            return
        ids = tuple(one.id for one in wait.wallets)
        self._queues.setdefault(ids, {})[wait] = None
        if ids not in self._on_its_way:
            self._ask(ids)

    def forget(self, wait: Wait) -> None:
        """The call waits no more."""
        if wait.client is not None:
            self.claims.forget(wait)
            return
        self._queues.get(tuple(one.id for one in wait.wallets), {}).pop(wait, None)

    def asks_again_at(self, hold: HotHold) -> Instant:
        """When calls ask once more that wait for what others hold: those of one wallet at one moment, for then one question is enough."""
        wallet, now = hold.key.wallet.id, hold.admitted_at
        at = self._asks_again.get(wallet, 0)
        if not now < at <= now + _ASKED_AGAIN_MICROS:  # it is over, or the clock was set
            at = self._asks_again[wallet] = now + _ASKED_AGAIN_MICROS
        return at

    def has_place(self, wallet: HotWallet) -> bool:
        """Whether one more call may wait for what others hold of a wallet (law 11). For the ledger's word all may: it is a moment."""
        return self._places.get(wallet.id, 0) < WAITING_CALLS_MAX

    def take_place(self, wallet: HotWallet) -> None:
        """A call waits for that, from now on."""
        self._places[wallet.id] = self._places.get(wallet.id, 0) + 1

    def give_up_place(self, wallet: HotWallet) -> None:
        """It waits no more."""
        left = self._places.pop(wallet.id) - 1
        if left:
            self._places[wallet.id] = left

    def drawn(self, hold: HotHold) -> None:
        """Of a wallet that a hold was drawn from little is left: more is asked for ahead."""
        for lot in hold.lots:
            wallet = lot.wallet
            if wallet.available_nanos < wallet.low_nanos:
                wallet.low_nanos = 0
                self._send([wallet], 0, self._calls(wallet) * wallet.worst_nanos, [], [])

    def _ask(self, ids: _Ids, promised: _Promised | None = None) -> None:
        """One question for all that wait, so that the first fits beside what is `promised`, and the others if there is plenty."""
        waits = list(self._queues.pop(ids))
        first = waits[0]
        worst = max(one.needed_nanos for one in waits)
        for wallet in first.wallets:
            wallet.worst_nanos = worst = max(worst, wallet.worst_nanos - wallet.worst_nanos // _AGES)
        need, limits = self._missing(first, promised)
        like = max(LEASE_CALLS * worst, sum(one.needed_nanos for one in waits))
        self._send(list(first.wallets), need, like, limits, waits)

    def _calls(self, wallet: HotWallet) -> int:
        """For how many calls more is wanted: for twice as many as last time, if that was used up in less than a second."""
        at, (last_at, calls) = self._now(), self._wanted.get(wallet.id, (0, 0))
        calls = min(2 * calls, LEASE_CALLS_MAX) if 0 <= at - last_at < LEASE_LASTS_MICROS and calls else LEASE_CALLS
        self._wanted[wallet.id] = at, calls
        return calls

    def _now(self) -> Instant:
        """As the next call is admitted."""
        return 0 if self._wallets.lent_at is None else self._wallets.lent_at()

    @staticmethod
    def _missing(wait: Wait, promised: _Promised | None = None) -> tuple[int, list[tuple[int, int]]]:
        """What a call lacks of money, and of limits, beside what is promised to others."""
        here = sum(one.available_nanos for one in wait.wallets)
        amounts: dict[int, int] = {}
        if promised is not None:
            here, amounts = here - promised.nanos, promised.amounts
        lacks = (
            (limit.id, limit.share_for(amounts.get(limit.id, 0) + amount) - limit.share)
            for limit, amount in wait.asks or ()
        )
        return max(0, wait.needed_nanos - here), [(row_id, share) for row_id, share in lacks if share > 0]

    def _send(
        self, wallets: list[HotWallet], need: int, like: int, limits: list[tuple[int, int]], waits: list[Wait]
    ) -> None:
        self._number += 1
        ids = [one.id for one in wallets]
        want = Want(self._worker, self._epoch, self._number, ids, need, like, limits, at=self._now())
        self._asked[self._number] = _Asked(want, tuple(ids), waits)
        if waits:
            self._on_its_way.add(tuple(ids))
        self.want_count += 1
        self.say(want)

    def unanswered(self) -> list[Want | Claim]:
        """What is said again after a lost connection."""
        for one in self._asked.values():  # also if it is put another way later on
            one.want = msgspec.structs.replace(one.want, again=True)
        return [*(one.want for one in self._asked.values()), *self.claims.unanswered()]

    # ---- the ledger's answers --------------------------------------------------------------------------------------

    def lent(self, lent: Lent) -> list[Part]:
        """Nanos and shares that this worker may use from now on; whoever waited is tried again. What it cannot use is to be returned.

        That is of a lot which its lease left out, for it was over or used up when this life began: until the next one nobody here draws it.
        """
        asked = self._asked.pop(lent.number, None)
        if asked is None and lent.number not in self._lacked and lent.number not in self._lacked_before:
            return []  # said twice
        self._lacked.discard(lent.number)
        self._lacked_before.discard(lent.number)
        unknown: list[Part] = []
        sums: dict[int, int] = {}
        for wallet_id, lot_id, nanos in lent.lots:
            wallet = self._wallets.get(wallet_id)
            lot = None if wallet is None else wallet.lots.get(lot_id)
            if wallet is None or lot is None:
                unknown.append((LOT, lot_id, nanos))
                continue
            self._fill(lot, nanos)
            self._lots[lot_id] = lot
            sums[wallet_id] = sums.get(wallet_id, 0) + nanos
        for wallet_id, nanos in sums.items():
            wallet = self._wallets[wallet_id]
            # a loan no larger than the dearest call says that there is little left: that is asked for by calls, and by nobody ahead of them
            wallet.low_nanos = nanos // LEASE_RENEWED_SHARE if nanos > wallet.worst_nanos else 0
        for limit_id, share in lent.shares:
            limit = self._limits.known.get(limit_id)
            if limit is None:
                unknown.append((LIMIT, limit_id, share))
            else:
                limit.set_share(limit.share + share)
        self._note(lent.elsewhere)
        if asked is not None:
            self._note_used(asked, lent.used_elsewhere)
            self._wake(asked, lacked=False, unknown=bool(unknown))
        return unknown

    def lacking(self, lacking: Lacking) -> None:
        """There is not so much: whoever waited is told."""
        asked = self._asked.pop(lacking.number, None)
        if asked is None:
            return
        self._note(lacking.elsewhere)
        for limit_id, share in lacking.limits:
            limit = self._limits.known.get(limit_id)
            if limit is not None:
                limit.free_share = max(0, share - limit.share)
        self._note_used(asked, lacking.used_elsewhere)
        self.lack_count += 1
        if asked.want.again:
            self._lacked.add(lacking.number)
        self._wake(asked, lacked=True)

    def _note(self, elsewhere: Iterable[Elsewhere]) -> None:
        for one in elsewhere:
            wallet = self._wallets.get(one.wallet_id)
            if wallet is not None:
                wallet.elsewhere_nanos = one.left_nanos
                wallet.held_elsewhere_nanos = one.held_nanos

    def _note_used(self, asked: _Asked, used_elsewhere: Iterable[tuple[int, int]]) -> None:
        for limit_id, used in used_elsewhere:
            limit = self._limits.known.get(limit_id)
            if limit is not None:
                limit.elsewhere_used, limit.elsewhere_at = used, asked.want.at

    def _wake(self, asked: _Asked, *, lacked: bool, unknown: bool = False) -> None:
        """Those whose want it was, then those that came since, in their order, as far as there is enough for them; the others ask together.

        What was lacking says nothing to one that needs less than was wanted, or needs less by now: it asks for itself. Nor to those that
        came since: they ask together, or each would wait for the answers of all before it. Whose want was met with what is `unknown` here
        is told to come again: it would be met so again, and that there is no more was not said.
        """
        if not asked.waits:
            return
        self._on_its_way.discard(asked.ids)
        want = asked.want
        for place, wait in enumerate(asked.waits):
            # others were asked for money by what the first one lacks: where that is a limit, it says nothing of who needs more money
            is_told = lacked and (place == 0 or (want.need_nanos > 0 and not want.limits))
            wait.lacked = is_told and self._lacks_as_much(wait, want)
            if unknown and self._missing(wait) != (0, []):
                wait.lacked = True
                wait.told = Denial("not_ready", scope=f"What is left of the wallet {wait.wallets[0].name}")
            elif wait.lacked:
                wait.lacks = want.need_nanos, [limit_id for limit_id, _ in want.limits]
        promised = _Promised()
        woken: list[Wait] = []
        short: dict[Wait, None] = {}
        for place, wait in enumerate((*asked.waits, *self._queues.pop(asked.ids, ()))):
            if wait.wake is None:  # its call waits no more
                continue
            # who has what is needed by now asks no more: a question for nothing is answered by nobody's word
            is_covered = self._missing(wait, promised) == (0, [])
            if is_covered:
                promised.add(wait)
            # the first of a loan looks for itself: of a lot that has begun since it came, nobody here knows before
            looks = place < len(asked.waits) if lacked else wait.lacked or not woken
            if is_covered or looks:
                woken.append(wait)
            else:
                short[wait] = None
        if short:
            self._queues[asked.ids] = short
        for wait in woken:
            wake, wait.wake = wait.wake, None
            if wake is not None:
                wake()
        if self._queues.get(asked.ids) and asked.ids not in self._on_its_way:
            self._ask(asked.ids, promised)

    def _lacks_as_much(self, wait: Wait, want: Want) -> bool:
        need, limits = self._missing(wait)
        lacks, wanted = dict(limits), dict(want.limits)
        if need < want.need_nanos or (need and not want.need_nanos) or lacks.keys() != wanted.keys():
            return False
        return all(share >= wanted[limit_id] for limit_id, share in lacks.items())

    # ---- what goes back --------------------------------------------------------------------------------------------

    def give_back(self, asked: AskBack, now: Instant) -> list[Part]:
        """What another worker may have of it: all that no call holds, and of limits all that none has used."""
        parts: list[Part] = []
        for wallet_id in asked.wallets:
            wallet = self._wallets.hot.get(wallet_id)  # of the others nothing was lent here: they stay packed
            for lot in wallet.lots.values() if wallet is not None else ():
                self._give(lot, parts)
        for limit_id in asked.limits:
            limit = self._limits.known.get(limit_id)
            share = 0 if limit is None else limit.spare_share(now)
            if limit is not None and share:
                limit.set_share(limit.share - share)
                if limit.free_share >= 0:
                    limit.free_share += share  # what the ledger said to be lacking may be there now
                parts.append((LIMIT, limit_id, share))
        self._say_again(asked)
        return parts

    def _say_again(self, asked: AskBack) -> None:
        """Calls that counted on what went back want all of it now; unless that want is met already, and its answer on its way."""
        for one in self._asked.values():
            if one.waits and not {*one.ids}.isdisjoint(asked.wallets):
                need, limits = self._missing(one.waits[0])
                one.want = msgspec.structs.replace(one.want, need_nanos=need, limits=limits, again=True)
                self.say(one.want)

    def idle(self) -> list[Part]:
        """What nobody has drawn since it was asked last; and call ids that nobody used are free again."""
        self.claims.drop_idle()
        self._asks_again.clear()
        self._wanted.clear()
        if len(self._lacked) + len(self._lacked_before) > _LACKED_KEPT:
            self._lacked_before, self._lacked = self._lacked, set()
        parts: list[Part] = []
        for lot in tuple(self._lots.values()):
            if not lot.wallet.held_nanos and self._lefts.get(lot.id) == lot.left_nanos:
                self._give(lot, parts)
        self._lefts = {lot.id: lot.left_nanos for lot in self._lots.values()}
        return parts

    def _give(self, lot: HotLot, parts: list[Part]) -> None:
        nanos = lot.left_nanos
        if nanos <= 0:
            return
        wallet = lot.wallet
        wallet.change(lot, -nanos)
        wallet.low_nanos = 0
        wallet.elsewhere_nanos += nanos
        if not wallet.held_nanos:  # else what calls hold of it may come back here
            self._lots.pop(lot.id, None)
        parts.append((LOT, lot.id, nanos))


def return_records(parts: list[Part], number: int, at: Instant) -> Iterator[bytes]:
    """RETURN records of these parts. The last one answers what asked under the number, be it with nothing."""
    for start in range(0, len(parts), tape.RETURNED_MAX):
        yield tape.pack_return(0, at, parts[start : start + tape.RETURNED_MAX])
    if number:
        yield tape.pack_return(number, at, [])


def _nobody(_message: Want | Claim) -> None:
    """Until the link is there; it asks for what is not answered."""
