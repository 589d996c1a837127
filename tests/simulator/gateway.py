"""A worker's process: the real core, tape, group commit and spending, and calls that do what the gateway's calls do.

Every answer of the real admission is foretold by the reference's Purse; every record that the real code writes is told to the world.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.desk import CHAT, PEPPER, SIM, make_facts
from tests.simulator import overage
from tests.simulator.denials import Said, Thing
from tests.simulator.patience import Patience
from tests.simulator.ports import Died, Loop, Wire
from tests.simulator.rates import DAY, HOUR, MINUTE
from tests.simulator.reference import COMPANY, MESSAGE_TOKENS, Asked, Loan, Lot, Purse, Terms, bound_of, cost_of, must
from tokenroll.model.hold import ReleaseReason
from tokenroll.model.usage import METER_INDEX, Meter
from tokenroll.services import group_commit
from tokenroll.services.group_commit import GroupCommit
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.hot_limits import Reroute
from tokenroll.services.protocol import (
    AWAY,
    YOURS,
    Amounts,
    AskBack,
    Claim,
    Claimed,
    Delta,
    FrameReader,
    Lacking,
    Lease,
    Lent,
    ProtocolError,
    Refusal,
    View,
    Want,
)
from tokenroll.services.spending import Spending
from tokenroll.services.worker_link import WorkerCore
from tokenroll.store import tape as tapes
from tokenroll.store.tape import Durability, Finish, RecordType, TapeWriter

if TYPE_CHECKING:
    from tests.simulator.universe import Universe

REPORT_SECONDS = 0.02
RETRY_SECONDS = 0.2
IDLE_SECONDS = 30
WINDOWS = {"minute": MINUTE, "hour": HOUR, "day": DAY}
_INPUT, _OUTPUT = METER_INDEX[Meter.INPUT], METER_INDEX[Meter.OUTPUT]


class _StillThread:
    """A thread that only works when the world lets it."""

    def __init__(self, target: Any, **_names: Any) -> None:
        self.run = target

    def start(self) -> None: ...

    def join(self) -> None:
        self.run()


class _Threads:
    Thread = _StillThread


@contextmanager
def _no_threads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_commit, "threading", _Threads)
        yield


class _DiskJobs:
    """The queue of the thread that waits for the disk: each job is an event of the world, some time after it was put."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._jobs: list[Any] = []

    def put(self, job: Any) -> None:
        self._jobs.append(job)
        if job is not None:
            rng = self._worker.world.rng
            self._worker.loop.call_later(rng.expovariate(1) * 0.002, self._work)

    def get(self) -> Any:
        return self._jobs.pop(0) if self._jobs else None

    def _work(self) -> None:
        self._worker.commit._work()


def make_meter(tokens: tuple[int, int], *, told: bool) -> Any:
    """What was seen of an answer."""
    meter = CHAT.meter(stream=False, withhold_usage=False)
    if told:
        meter.counts[_INPUT], meter.counts[_OUTPUT] = tokens
        meter.saw_usage = meter.complete = True
    return meter


class Call:
    """One call on its way: a Waiter of the group commit."""

    def __init__(
        self, worker: "Worker", hold: HotHold, client: tuple[int, str] | None, input_bytes: int, cap: int
    ) -> None:
        self.worker = worker
        self.hold = hold
        self.client = client
        self.size = input_bytes, cap
        self.tokens = (0, 0)

    @property
    def key(self) -> int:
        """Its hold's number."""
        return self.worker.base | self.hold.sequence

    def find_connection(self) -> None:
        worker, rng = self.worker, self.worker.world.rng
        if rng.random() < worker.world.rates.undialled:
            worker.loop.call_later(rng.expovariate(1) * 0.05, self.give_up)
        elif rng.random() < 0.5:
            worker.commit.dispatch(self)
        else:
            worker.loop.call_later(rng.expovariate(1) * 0.02, worker.commit.dispatch, self)

    def give_up(self) -> None:
        """Nobody could be dialled: nothing was sent."""
        self.worker.end("release", self, ReleaseReason.NOT_SENT)

    def on_dispatched(self) -> None:
        self.worker.world.provider.receives(self)

    def on_commit_failed(self, error: OSError) -> None:
        """Its client hears 503; what its hold became, the next life says."""

    def on_fault(self, error: Exception) -> None:
        raise error

    def answered(self, kind: str) -> None:
        """A part or the end of what the provider says."""
        if kind == "part":
            self.worker.evidence(self)
        elif kind == "error":
            self.worker.end("release", self, ReleaseReason.PROVIDER_ERROR)
        else:
            self.worker.end("lapse" if kind == "silence" else "settle", self, None)


class Worker:
    """One process of the gateway, from its start to its death."""

    def __init__(self, world: "Universe", number: int) -> None:
        self.world = world
        self.number = number
        self.host = world.hosts[number]
        self.disk = world.disks[number]
        self.loop = Loop(world.agenda)
        self.epoch = 0
        self.base = 0
        self.purse: Purse | None = None
        self.commit: Any = None
        self.is_open = False
        self.wire: Wire | None = None
        self._reader = FrameReader()
        self._unreported: list[bytes] = []
        self._learnt: list[Any] = []
        self._secrets: dict[int, bytes] = {}
        self.is_over = False
        """Whether the ledger or the tape has ended it: it does nothing more."""
        self.waiting: set[Patience] = set()
        self.said: Said | None = None
        self.connected_at = 0
        self.asked_at: dict[Thing, int] = {}
        self.cleared: dict[Thing, int] = {}
        """When it was asked back last, and when it returned all that no call of it holds or has used."""
        self.claiming: dict[int, tuple[int, str]] = {}
        self.granted: set[tuple[int, str]] = set()
        """What clients named calls that this worker may send, and has not sent."""
        self.unfinished: set[tuple[int, str]] = set()
        """Calls that had not ended when this worker was told of them: what became of them it may ask."""
        self.used_names: dict[tuple[int, str], str] = {}
        """What the ledger said last of such names that are used."""
        self.idle_looks = 0
        self._hurries = False
        self.core = WorkerCore(
            number, world.directories[number], self, boot_id=self.host.boot_id, clock=self.host.clock, disk=self.disk,
            of=len(world.hosts), early_records_min=world.early_records_min,
        )  # fmt: skip
        self.loop.call_soon(self.connect)
        self.loop.call_later(RETRY_SECONDS, self._retry)

    # ---- its line ------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """To the ledger, or once more a little later."""
        self.wire = self.world.dial(self, self.loop)
        if self.wire is None:
            self.loop.call_later(RETRY_SECONDS, self.connect)
            return
        self._reader = FrameReader()
        self.connected_at = self.world.agenda.now
        self.core.connected(self.wire.send)

    def heard(self, wire: Wire, data: bytes) -> None:
        """Bytes of the ledger."""
        if wire is not self.wire:
            return
        try:
            for message in self._reader.feed(data):
                self.core.received(message)
        except (ProtocolError, OSError):  # as a loop does with a protocol that raises, it closes its transport
            wire.cut()

    def lost(self, wire: Wire) -> None:
        """The connection is gone."""
        if wire is self.wire:
            self.wire = None
            self.core.lost()
            self.loop.call_later(RETRY_SECONDS, self.connect)

    def _retry(self) -> None:
        must(self.core.halt is None, "the fold halted at what a sound worker wrote: %s", self.core.halt)
        self.core.retry()
        self.core.tell_used()
        self.loop.call_later(RETRY_SECONDS, self._retry)

    # ---- what the ledger says ---------------------------------------------------------------------------------

    def begin(self, epoch: int) -> None:
        world = self.world
        self.epoch = epoch
        self.base = self.number << 56 | epoch << 40
        world.judge.begins(self)
        self.tape = TapeWriter(
            world.directories[self.number], worker=self.number, epoch=epoch, boot_id=self.host.boot_id,
            created_at=self.host.clock(), disk=self.disk,
        )  # fmt: skip
        spending = self.spending = Spending(self.tape, self.host.clock, PEPPER)
        with _no_threads():
            self.commit = GroupCommit(
                self.tape, Durability.SYNCED if world.rates.synced else Durability.WRITTEN, self.loop,  # type: ignore[arg-type]
                clock=self.host.clock, append_dispatched=self._append_dispatched, after_dispatch=lambda: None,
                on_block=self._on_block, on_failure=self._failed, idle_seconds=0.005,
            )  # fmt: skip
        if world.rates.synced:
            self.commit._jobs = _DiskJobs(self)
        self._records = spending.tape._pending

    def apply_view(self, view: View) -> None:
        self._learn_limits(view.limits)
        self._learn_keys(view.keys)
        ends = {"settled", "released"}
        self.unfinished |= {(one.api_key_id, one.client_call_id) for one in view.client_calls if one.state not in ends}
        self.spending.apply_view(view)

    def _learn_keys(self, keys: list[Any]) -> None:
        for one in keys:
            if one.revoked:
                self._secrets.pop(one.id, None)
            else:
                self._secrets[one.id] = one.secret_hash

    def _learn_limits(self, limits: list[Any]) -> None:
        self._learnt += limits
        if self.purse is None:
            return
        for one in self._learnt:
            member = self.world.wallet_of_member.get(one.subject_id, 0) if one.scope == "member" else 0
            key = one.subject_id if one.scope == "key" else 0
            first = one.id not in self.purse.limits
            terms = Terms(one.id, key, member, one.measure == "calls", one.cap, one.effective_at, one.expires_at or 1 << 62, WINDOWS[one.window])  # fmt: skip
            self.purse.limits[one.id] = terms
            if first and not isinstance(self.purse, Loan):  # what counts at the ledger's clock is all that it is told
                for counter in [counter for counter in self.purse.counters if counter[0] == one.id]:
                    del self.purse.counters[counter]
                for start, used in one.counters:
                    self.purse.counters[one.id, start] = used
                    self.purse.told.add((one.id, start))
        self._learnt = []

    def apply_lease(self, lease: Lease) -> None:
        if self.is_over:  # it came again after a lost line, and too late
            return
        self.spending.apply_lease(lease)
        if lease.last:
            self.purse = self.world.judge.leased(self, lease)
            self._learn_limits([])
            self.is_open = True
            if self.spending.sized is not None:
                self.spending.sized.say = self._say
                self.loop.call_later(IDLE_SECONDS, self._return_idle)

    def apply_delta(self, delta: Delta) -> None:
        purse = self.purse
        assert purse is not None
        before = self.tape.next_sequence
        if delta.number > self.spending.last_delta:
            self._foretell(purse, delta)
        self.spending.apply_delta(delta)
        self.agree()
        # whether a new lot is lent to anybody is looked at as the next call would: then no call is of an earlier instant
        looked = self.spending._recorded_at
        must(looked <= max(purse.stamped, self.host.clock()), "a delta is of %d, which it never was", looked)
        purse.stamp(looked)
        self._wrote(before)
        if self.tape.has_pending:
            self.commit.soon()

    def _foretell(self, purse: Purse, delta: Delta) -> None:
        """What a delta must do here."""
        for change in delta.lots:
            if change.terms is None:
                purse.resolved(change.lot_id, change.change_nanos, change.spent_nanos)
            elif change.terms.id not in purse.lots:
                terms = change.terms
                there = 0 if isinstance(purse, Loan) else terms.available_nanos
                purse.add(Lot(terms.id, change.wallet_id, there, terms.effective_at, terms.expires_at or 1 << 62, terms.priority))  # fmt: skip
        overage.foretell(self.world, purse, delta)
        purse.recalled(delta.recalls, self.host.clock())
        self._learn_keys(delta.keys)
        self._learn_limits(delta.limits)
        for one in delta.counters:
            raised = (one.limit_id, one.start_at)
            if one.hold_key >> 40 == self.base >> 40 or raised in purse.told:
                purse.counters[raised] = purse.counters.get(raised, 0) + one.change

    def take_used(self, keys_max: int) -> list[int]:
        return self.spending.take_used(self.host.clock(), keys_max)

    # ---- what is lent to it --------------------------------------------------------------------------------------

    def _say(self, want: Want | Claim) -> None:
        if isinstance(want, Claim):
            self._claims(want)
            return
        self.world.denials.wanted(self, want)
        self.loan.wanted.add(want.number)
        self.core.want(want)

    def _claims(self, claim: Claim) -> None:
        client = (claim.api_key_id, claim.client_call_id)
        if claim.ends:
            must(
                self.purse is not None and (client not in self.purse.clients or client in self.unfinished),
                "the name %s is given back and was used",
                client,
            )
            self.granted.discard(client)
        else:
            self.claiming[claim.number] = client
        self.core.want(claim)

    @property
    def wants_something(self) -> bool:
        """Whether something is wanted or claimed and not answered."""
        return isinstance(self.purse, Loan) and bool(self.purse.wanted or self._sized.claims.unanswered())

    @property
    def loan(self) -> Loan:
        """What one of several workers has."""
        assert isinstance(self.purse, Loan)
        return self.purse

    @property
    def _sized(self) -> Any:
        assert self.spending.sized is not None
        return self.spending.sized

    def lent(self, lent: Lent) -> None:
        before = self.tape.next_sequence
        self.loan.stamp(self.host.clock())
        self.loan.lent(lent.number, lent.lots, lent.shares)
        unknown = self.spending.lent(lent)
        must(not unknown, "the ledger lent what the worker does not know: %s", unknown)
        self._wrote(before)
        self.agree()

    def lacking(self, lacking: Lacking) -> None:
        self.loan.wanted.discard(lacking.number)
        self.said = self.world.denials.said.get((self.number, self.epoch, lacking.number))
        self._sized.lacking(lacking)

    def told(self, amounts: Amounts) -> None:
        raise AssertionError(amounts)  # nobody here asks

    def ask_back(self, asked: AskBack) -> None:
        self.loop.call_soon(self._give_back, asked)

    def _give_back(self, asked: AskBack) -> None:
        if self.is_over or not isinstance(self.purse, Loan):  # its lease is on its way: it has nothing
            return
        loan, now = self.loan, self.host.clock()
        at, before = loan.stamp(now), self.tape.next_sequence
        parts = self.spending.give_back_asked(asked)
        foretold = loan.spare(asked.wallets, asked.limits, at)
        must(sorted(parts) == sorted(foretold), "the worker returned %s and must return %s", parts, foretold)
        self._told_returns(before)
        for wallet in asked.wallets:
            self.cleared["wallet", wallet] = self.world.agenda.now
        for limit in asked.limits:
            self.cleared["limit", limit] = self.world.agenda.now
        self._hurries = True
        self.commit.soon()
        self.agree()

    def _return_idle(self) -> None:
        if self.is_over:
            return
        self.idle_looks += 1
        before = self.tape.next_sequence
        parts = self._sized.idle()
        if parts:
            self.loan.idle(parts)
            self.loan.stamp(self.host.clock())
            self.spending.returned(parts)
            self._told_returns(before)
            self.commit.soon()
            self.agree()
        self.loop.call_later(IDLE_SECONDS, self._return_idle)

    def _told_returns(self, before: int) -> None:
        pending = self.tape._pending
        first = self.tape.next_sequence - len(pending)
        for place in range(before - first, len(pending)):
            record = pending[place]
            must(record[0] == RecordType.RETURN, "a return wrote another record")
            parts = list(tapes.RETURNED.iter_unpack(record[tapes.RETURN.size :]))
            self.world.judge.wrote(self, first + place, "returned", self.number, parts)

    def claimed(self, claimed: Claimed) -> None:
        for one in claimed.answers:
            client = self.claiming.pop(one.number, None)
            if client is not None and one.state == YOURS:
                self.world.provider.may_send(self, client)
                self.granted.add(client)
            elif client is not None:
                self.used_names[client] = one.state
        self._sized.claims.answered(claimed.answers)

    def unanswered(self) -> list[Want | Claim]:
        return [] if self.spending.sized is None else self.spending.sized.unanswered()

    def ended(self, refusal: Refusal) -> None:
        self.is_over = True
        self.world.ends(self, f"{refusal.kind}: {refusal.text}")

    # ---- its tape --------------------------------------------------------------------------------------------

    def _on_block(self, block: bytes) -> None:
        if not self._unreported:
            self.loop.call_later(REPORT_SECONDS, self._report)
        self._unreported.append(block)
        if self._hurries:  # somebody waits for what it returned
            self._hurries = False
            self._report()

    def _report(self) -> None:
        blocks, self._unreported = self._unreported, []
        if blocks:
            self.core.report(*blocks)

    def _failed(self, error: OSError) -> None:
        self.is_over = True
        self.world.ends(self, f"the tape: {error}")

    def _append_dispatched(self, holds: list[HotHold]) -> None:
        before = self.tape.next_sequence
        self.spending.dispatched(holds, self.host.clock())
        assert self.purse is not None
        self.purse.stamp(self.host.clock())
        keys = [self.base | hold.sequence for hold in holds]
        self.purse.sent(keys)
        self.world.judge.wrote(self, before, "sent", keys)

    def _wrote(self, before: int) -> None:
        """What was given of lots is on the tape, as the Purse foretold it."""
        assert self.purse is not None
        given, self.purse.given = self.purse.given, []
        written: list[tuple[int, int, int]] = []
        pending = self.tape._pending
        for place in range(len(pending) - (self.tape.next_sequence - before), len(pending)):
            record = pending[place]
            if record[0] == RecordType.LEASE:
                gives = list(tapes.GIVE.iter_unpack(record[tapes.LEASE.size :]))
                written += gives
                self.world.judge.wrote(self, self.tape.next_sequence - len(pending) + place, "give", self.number, gives)
        must(written == given, "the worker gave %s of its lots and must give %s", written, given)

    # ---- calls -----------------------------------------------------------------------------------------------

    def call(self, key: tuple[int, bytes, int], input_bytes: int, cap: int, client: str) -> None:
        """A client's call."""
        Patience(self, key, (input_bytes, cap), client).attempt()

    def admit(self, call: Patience, asked: Wait | None, *, may_wait: bool) -> tuple[str, Wait | None]:
        """What a call is told, which is foretold; and what it waits for, when it is to wait."""
        purse, now = self.purse, self.host.clock()
        if not self.is_open or purse is None:
            return "not_ready", None
        (key_id, secret, _), (input_bytes, cap) = call.key, call.size
        hot = self.spending.key_for(secret, now)
        if key_id not in self._secrets:
            must(hot is None, "the revoked key %d still works", key_id)
            return "unknown_key", None
        must(hot is not None, "key %d is not known", key_id)
        assert hot is not None
        wish = self._wish(call, may_wait=may_wait)
        bound = wish.bound
        at = purse.stamp(now)
        allowed = self._allowed(purse, call, wish, at, asked)
        before = self.tape.next_sequence
        found = self.spending.admit(
            hot, CHAT, make_facts(input_bytes=input_bytes, output_cap_tokens=cap), now, deployment=SIM,
            call_id=call.client.encode() or None, may_wait=may_wait, asked=asked,
        )  # fmt: skip
        assert not isinstance(found, Reroute)
        if isinstance(found, Wait):
            answer = "claim" if found.client else "wait" if found.asks is None else "ask"
        else:
            answer = "admitted" if isinstance(found, HotHold) else found.code
        missing = purse.slices(wish, at)[1]
        judged = overage.judged(self, found, wish, missing, answer)
        is_denied = judged not in allowed and judged == "wallet_empty" and isinstance(purse, Loan)
        if is_denied and self.world.denials.is_nowhere(self, wish, missing, at):
            allowed.add(judged)
        must(judged in allowed, "a call of %d was answered %s and must be answered %s", bound, answer, sorted(allowed))
        if isinstance(found, HotHold):
            self._admitted(found, wish, at, before, (input_bytes, cap))
        elif not isinstance(found, Wait) and answer == "wallet_empty":
            left = found.left_nanos if self.world.are_several else bound - missing
            said = found.needed_nanos, found.left_nanos
            must(said == (bound, left), "the denial says other sums than %d of %d", bound, left)
        return answer, found if isinstance(found, Wait) else None

    def _wish(self, call: Patience, *, may_wait: bool) -> Asked:
        key_id, _, wallet = call.key
        names_client = (key_id, call.client) if call.client else None
        return Asked(key_id, wallet, self.world.pool, bound_of(*call.size), names_client, may_wait)

    def lacks(self, call: Patience, said: Said) -> bool:
        """Whether a call needs more than is here and was there."""
        loan, wish = self.loan, self._wish(call, may_wait=False)
        there = sum(said.free.get(one, 0) for one in (wish.wallet, wish.pool))
        return loan.slices(wish, loan.stamp(self.host.clock()))[1] > there

    def _allowed(self, purse: Purse, call: Patience, wish: Asked, at: int, asked: Wait | None) -> set[str]:
        if isinstance(purse, Loan):
            client = wish.client
            is_used = client in purse.clients
            if client is not None and (client in self.unfinished if is_used else client not in self.granted):
                if asked is not None and asked.told is not None:
                    return {"not_ready"} if self.used_names[client] == AWAY else {"call_repeated"}
                asks = "not_ready" if call.is_late else "claim"
                return {asks, "call_repeated"} if is_used else {asks}
            clocks = bool(self.world.rates_were.skews_every)
            allowed = purse.answers(wish, at, call.said, is_late=call.is_late, are_clocks_set=clocks)
            if call.lacked_money and not allowed & {"admitted", "call_repeated"}:
                allowed |= {"wallet_empty", "wait"} if wish.may_wait else {"wallet_empty"}
            return allowed
        return {purse.answer(wish, at)}

    def _admitted(self, hold: HotHold, asked: Asked, at: int, before: int, size: tuple[int, int]) -> None:
        purse = self.purse
        assert purse is not None
        slices, missing = purse.slices(asked, at)
        slices += [(COMPANY, missing)] if missing else []
        taken = [(one.lot_id, one.nanos) for one in hold.slices]
        must(taken == slices, "the hold took %s and must take %s", taken, slices)
        key = self.base | hold.sequence
        arguments = (key, asked.wallet, hold.call_id, asked.bound, slices, purse.raises(asked, at), asked.client)
        purse.hold(*arguments)
        must(hold.sequence == self.tape.next_sequence - 1 >= before, "the hold is not the last record")
        self.world.judge.wrote(self, hold.sequence, "hold", *arguments)
        if self.world.are_several and not self.world.rates_were.skews_every:
            for limit, start, _ in arguments[5]:
                counted, cap = self.world.judge.counted(limit, start), purse.limits[limit].cap
                must(counted <= cap + self.world.provider.overrun, "limit %d counts %d of %d at all workers together", limit, counted, cap)  # fmt: skip
        self.agree()
        if asked.client is not None:
            self.granted.discard(asked.client)
        call = Call(self, hold, asked.client, *size)
        self.commit.hold_ready(call, alone=self.world.rng.random() < 0.2)

    def evidence(self, call: Call) -> None:
        """What was seen so far."""
        assert self.purse is not None
        share = self.world.rng.random()
        seen = int(call.tokens[0]), int(call.tokens[1] * share)
        before = self.tape.next_sequence
        self.spending.evidence(call.hold, make_meter(seen, told=True), self.host.clock())
        self.purse.stamp(self.host.clock())
        self.purse.seen(call.key, seen)
        self.world.judge.wrote(self, before, "seen", call.key, seen)
        self.commit.soon()

    def end(self, how: str, call: Call, reason: ReleaseReason | None) -> None:
        """The one end of a call's hold."""
        purse, spending, hold, now = self.purse, self.spending, call.hold, self.host.clock()
        assert purse is not None
        before, key = self.tape.next_sequence, call.key
        at = purse.stamp(now)
        if how == "settle":
            charge = spending.settle(hold, make_meter(call.tokens, told=True), now, 200, Finish.COMPLETE)
            must(
                charge == cost_of(*call.tokens),
                "%s of %s tokens was charged %d",
                call.hold.call_id,
                call.tokens,
                charge,
            )
            purse.end(key, "settled", charge)
            self._ended(before, {RecordType.SETTLE, RecordType.SHORT_SETTLE}, "end", key, "settled", charge)
        elif how == "release":
            assert reason is not None
            spending.release(hold, reason, now)
            purse.end(key, "released", 0)
            self._ended(before, {RecordType.RELEASE}, "end", key, "released", 0)
        else:
            spending.lapse(hold, make_meter((0, 0), told=False), now, Finish.UPSTREAM_CUT)
            purse.lapse(key, at)
            self._ended(before, {RecordType.LAPSE}, "lapse", key, at)
        self._wrote(before)
        self.commit.soon()
        self.agree()

    def _ended(self, before: int, kinds: set[RecordType], name: str, *arguments: Any) -> None:
        pending = self.tape._pending
        first = self.tape.next_sequence - len(pending)
        places = [place for place, record in enumerate(pending) if first + place >= before and record[0] in kinds]
        must(len(places) == 1, "an end wrote %d records that end a hold", len(places))
        self.world.judge.wrote(self, first + places[0], name, *arguments)

    def agree(self) -> None:
        """Hot wallets are what the Purse is, to the nano (I1, I3)."""
        purse = self.purse
        assert purse is not None
        overage.agree(self)
        wallets = self.spending.wallets
        for lot in purse.lots.values():
            hot = wallets[lot.wallet].lots.get(lot.id)
            left = lot.left - sum(one[1] for one in lot.owed)
            must(
                hot is not None and hot.left_nanos == left,
                "lot %d has %s left and must have %d",
                lot.id,
                hot and hot.left_nanos,
                left,
            )
        if not self.world.rates_were.skews_every:
            for limit in purse.limits:
                hot_limit = self.spending.limits.known[limit]
                used, counted = (
                    hot_limit.used - hot_limit.earlier_used,
                    purse.counters.get((limit, hot_limit.start_at), 0),
                )
                must(used == counted, "limit %d has used %d and must have %d", limit, used, counted)

    def retire(self) -> None:
        """The process ends in order, once its calls have ended: its last words go to the tape and are told; it is the ledger that spends then."""
        if not self.is_over:
            if self.spending.open_holds:
                self.loop.call_later(0.1, self.retire)
                return
            self.is_over = True
            self.commit.close()
            self.core.ends()
            self._report()
        if self.commit.failure is not None:
            return
        if self.core.unreported_records or self.wire is None:
            self.loop.call_later(0.01, self.retire)
            return
        try:
            self.tape.close()
        except OSError as error:
            self._failed(error)
            return
        self.core.resign()
        self.loop.call_later(0.1, self.loop.dies)

    def die(self) -> None:
        """SIGKILL: nothing more is done, heard or written by this process."""
        self.loop.is_dead = True
        self.is_open = False
        if self.wire is not None:
            self.wire.cut(peer_died=True)
        self.world.judge.died(self)


__all__ = ["MESSAGE_TOKENS", "Call", "Died", "Worker", "make_meter"]
