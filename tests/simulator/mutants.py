"""Bugs planted in the product, one at a time, by patching one name of the real code. The simulator must find every one of them.

Each mutant names where it is, what stands there instead, and which faults a run must have for it to matter; the rest of a run's rates
are drawn as always.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.simulator.rates import DAY, SECOND, Rates, drawn
from tests.simulator.universe import run
from tokenroll.engine.chaining import GENESIS_HASH
from tokenroll.model.hold import ReleaseReason
from tokenroll.services import ageing, lease_desk, leasing, lending, reconciling, recovery, retention
from tokenroll.services.call_memory import CallMemory
from tokenroll.services.claim_book import ClaimBook
from tokenroll.services.claims import Claims
from tokenroll.services.group_commit import GroupCommit
from tokenroll.services.hot import HotLot, HotWallet, Wait
from tokenroll.services.hot_limits import HotLimits, Limited
from tokenroll.services.lease_desk import LeaseDesk
from tokenroll.services.leases import Leases
from tokenroll.services.ledger import Ledger
from tokenroll.services.lending import Lending
from tokenroll.services.protocol import Ack, Lacking
from tokenroll.services.sized_lease import SizedLease
from tokenroll.services.spending import Spending
from tokenroll.services.worker_link import WorkerCore
from tokenroll.store.attempt_record import Outcome, ReleaseRecord, hold_key, pack_release
from tokenroll.store.fold import Fold
from tokenroll.store.fold_batch import FoldBatch
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.journal import Journal
from tokenroll.store.lease_book import LeaseBook
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import LOT, RETURN, TapeRelease, TapeWriter, block_span

Mutant = Callable[[Any], Any]
"""Of what stands there: what shall stand there instead."""


@dataclass(slots=True)
class Planted:
    """One bug."""

    name: str
    where: Any
    attribute: str
    mutant: Mutant
    rates: dict[str, Any] = field(default_factory=dict)


def caught(bug: Planted, folder: Path, seeds: range, events: int) -> str:
    """What the first run said that noticed; empty: none did."""
    patch = pytest.MonkeyPatch()
    patch.setattr(bug.where, bug.attribute, bug.mutant(getattr(bug.where, bug.attribute)))
    try:
        for seed in seeds:
            try:
                run(seed, folder, events=events, rates=focused(seed, bug.rates))
            except Exception as error:  # noqa: BLE001 - whatever notices the bug has caught it
                return f"seed {seed}: {type(error).__name__}: {error}"
    finally:
        patch.undo()
    return ""


def focused(seed: int, changes: dict[str, Any]) -> Rates:
    """The rates of a seed, but for some."""
    rates = drawn(random.Random(seed))
    for name, value in changes.items():
        setattr(rates, name, value)
    return rates


# ---- on the tape, and on its way --------------------------------------------------------------------------------------


def loses_a_record(real: Any) -> Any:
    def take_block(self: Any) -> bytes:
        if len(self._pending) > 3:
            self._pending.pop(1)
        return bytes(real(self))

    return take_block


def reports_no_third_block(real: Any) -> Any:
    def report(self: Any, *blocks: bytes) -> None:
        kept = [block for block in blocks if block_span(block)[0] % 3]
        if kept:
            real(self, *kept)

    return report


def goes_on_behind_a_torn_block(_real: Any) -> Any:
    def _write_now(self: Any) -> bool:
        for block in self._take_blocks():
            try:
                self._tape.write(block, self._clock())
            except OSError:
                continue
            self._on_block(block)
        return True

    return _write_now


def sends_before_it_is_durable(real: Any) -> Any:
    def hold_ready(self: Any, waiter: Any, *, alone: bool = False, body_bytes: int = 0) -> None:
        del alone, body_bytes
        self._append_dispatched([waiter.hold])
        waiter.on_dispatched()
        self._next_turn()

    del real
    return hold_ready


def sends_without_a_word(real: Any) -> Any:
    def dispatched(self: Any, holds: Any, now: int) -> None:
        pending, sequence = list(self.tape._pending), self.tape.next_sequence
        real(self, holds, now)
        self.tape._pending[:] = pending
        self.tape.next_sequence = sequence

    return dispatched


# ---- in the ledger ------------------------------------------------------------------------------------------------------


def folds_twice(real: Any) -> Any:
    def apply(self: Any, worker: int, epoch: int, blocks: bytes, folded: int, now: int) -> int:
        real(self, worker, epoch, blocks, folded, now)
        return folded

    return apply


def folds_backwards(real: Any) -> Any:
    return staticmethod(lambda blocks: reversed(list(real(blocks))))


def skips_the_epoch_check(_real: Any) -> Any:
    def report(self: Any, message: Any) -> Any:
        worker = self._workers.get(message.worker)
        closed, worker.closed_epoch = worker.closed_epoch, 0
        try:
            return _real(self, message)
        finally:
            worker.closed_epoch = closed
            if self._workers.get(message.worker) is not worker:
                self._workers[message.worker].closed_epoch = closed

    return report


def acknowledges_too_much(real: Any) -> Any:
    def report(self: Any, message: Any) -> Any:
        answer = real(self, message)
        return Ack(answer.epoch, answer.sequence + 2) if isinstance(answer, Ack) else answer

    return report


def forgets_suspense(_real: Any) -> Any:
    def suspend(self: Any, hold: Any, lapse: bytes, at: int, _now: int) -> None:
        hold.lapsed_at = at
        hold.record += lapse
        self.batch.touched.add(hold.key)

    return suspend


def frees_a_lapsed_lease(_real: Any) -> Any:
    def _lapse_earlier(self: Any, worker: int, epoch: int, now: int) -> None:
        self._changes.batch = FoldBatch()
        for number, hold in sorted(self._mirror.holds.items()):
            key = hold_key(number)
            if key.worker == worker and key.epoch < epoch and hold.lapsed_at is None:
                end = pack_release(key.sequence, ReleaseRecord(now, int(TapeRelease.NEVER_DISPATCHED), 0, 0))
                self._changes.end(hold, Outcome.RELEASED, end, 0)
        self._changes.batch.write(self.connection, self._mirror, now)

    return _lapse_earlier


def leaves_dead_holds(_real: Any) -> Any:
    return lambda *_arguments: None


def leases_what_is_held(real: Any) -> Any:
    def ready_parts(*arguments: Any, **named: Any) -> Any:
        for part in real(*arguments, **named):
            for wallet in getattr(part, "wallets", ()):
                if wallet.suspense_nanos and wallet.lots:
                    first = wallet.lots[0]
                    wallet.lots[0] = replace(first, available_nanos=first.available_nanos + wallet.suspense_nanos)
            yield part

    return ready_parts


def forgets_first_answers(_real: Any) -> Any:
    return lambda _self, _command, _digest: None


def unlinks_the_chain(real: Any) -> Any:
    def close_batch(self: Any, closed_at: int, source: Any = (None, None, None, None)) -> Any:
        self.head_hash = GENESIS_HASH
        return real(self, closed_at, source)

    return close_batch


def trusts_the_ledgers_clock(_real: Any) -> Any:
    return lambda self: self._clock()


def charges_the_evidence_and_more(real: Any) -> Any:
    def estimated(cards: Any, hold: Any, now: int) -> Any:
        settle = real(cards, hold, now)
        return settle._replace(charge_nanos=sum(one.nanos for one in hold.slices))

    return estimated


def deletes_what_is_not_folded(_real: Any) -> Any:
    def _delete(ledger: Any, worker: int, epoch: int, paths: list[Path]) -> int:
        del ledger, worker, epoch
        for path in paths:
            path.unlink()
        return len(paths)

    return _delete


# ---- in recovery --------------------------------------------------------------------------------------------------------


def releases_what_was_sent(_real: Any) -> Any:
    def _ending(hold: Any, *, same_kernel: bool, now: int) -> bytes:
        del same_kernel
        return pack_release(hold.sequence, ReleaseRecord(now, int(TapeRelease.NEVER_DISPATCHED), 0, 0))

    return _ending


def ignores_the_boot(real: Any) -> Any:
    return lambda hold, *, same_kernel, now: real(hold, same_kernel=same_kernel or True, now=now)


def leaves_the_torn_tail(_real: Any) -> Any:
    return lambda _directory, _epoch, _disk: 0


def tells_nothing_of_earlier_lives(real: Any) -> Any:
    def _recover(self: Any, folded: dict[int, int]) -> Any:
        list(real(self, folded))
        return iter(())

    return _recover


# ---- in the worker's spending ----------------------------------------------------------------------------------------------


def shrinks_a_hold(_real: Any) -> Any:
    def _short(self: Any, hold: Any, _facts: Any, available: int, _fixed: int, *, may_wait: bool) -> Any:
        if available > 0:
            hold.bound_nanos = available
            return None
        return _real(self, hold, _facts, available, _fixed, may_wait=may_wait)

    return _short


def admits_what_is_not_there(_real: Any) -> Any:
    return lambda self, key, now: _real(self, key, now) + 50_000_000


def settles_twice(real: Any) -> Any:
    def settle(self: Any, hold: Any, *arguments: Any) -> int:
        charge = int(real(self, hold, *arguments))
        if hold.sequence % 7 == 0:
            hold.state = "held"
            self.open_holds[hold.sequence] = hold
            real(self, hold, *arguments)
        return charge

    return settle


def keeps_the_tail(real: Any) -> Any:
    return lambda self, hold, charge: real(self, hold, max(charge, hold.bound_nanos - 1))


def refunds_an_abort(_real: Any) -> Any:
    def lapse(self: Any, hold: Any, _meter: Any, now: int, _finish: Any, status: int = 0) -> None:
        hold.dispatched = False
        self.release(hold, ReleaseReason.NOT_SENT, now, status)

    return lapse


def draws_the_expired(real: Any) -> Any:
    def look(self: Any, now: int) -> None:
        ends = {lot: lot.expires_at for lot in self.lots.values()}
        for lot in ends:
            lot.expires_at += 100 * DAY
        real(self, now)
        for lot, end in ends.items():
            lot.expires_at = end

    return look


def draws_the_unvested(real: Any) -> Any:
    return lambda self, now: real(self, now + DAY)


def draws_the_newest_first(_real: Any) -> Any:
    return property(lambda lot: (lot.priority, lot.expires_at, lot.effective_at, -lot.id))


def trusts_the_workers_clock(_real: Any) -> Any:
    return lambda _self, now: now


def owes_recalls_nothing(_real: Any) -> Any:
    def give_back(self: Any, lot: Any, nanos: int) -> None:
        lot.wallet.change(lot, nanos)

    return give_back


def knows_no_call_ids(_real: Any) -> Any:
    return lambda _self, _key, _client: None


def keeps_revoked_keys(real: Any) -> Any:
    return lambda self, keys: real(self, [one for one in keys if not one.revoked])


def trues_no_limit_up(_real: Any) -> Any:
    return lambda _self, _charge, _mask, _values: None


def skips_a_delta(real: Any) -> Any:
    def _delta(self: Any, delta: Any) -> None:
        if delta.number % 5 or not self.spending:
            real(self, delta)
        else:
            self.last_delta = delta.number
            self._events.spending.last_delta = delta.number

    return _delta


# ---- in what clients name -----------------------------------------------------------------------------------------------


def forgets_what_is_folded(_real: Any) -> Any:
    return lambda _self, _client, _number: None


def frees_what_is_not_told(real: Any) -> Any:
    def hello(self: Any, message: Any) -> Any:
        if not message.epoch:
            with self._transaction():
                self._claims.end(message.worker, 1 << 40, ())
        return real(self, message)

    return hello


def claims_in_memory_alone(_real: Any) -> Any:
    def load(self: Any) -> None:
        self._connection.exec_driver_sql("DELETE FROM call_claims")
        self._claims = {}

    return load


def ends_what_was_used(_real: Any) -> Any:
    return lambda _self, _client: None


# ---- in what is lent ----------------------------------------------------------------------------------------------------


def lends_and_keeps(_real: Any) -> Any:
    def lend(self: Any, worker: int, lot: int, nanos: int) -> None:
        leased = self.leased[worker]
        leased[2 * lot] += nanos
        leased[2 * lot + 1] = self.lots[2 * lot + 1]
        if nanos < 0:
            self.lots[2 * lot] -= nanos

    return lend


def lends_twice(real: Any) -> Any:
    def want(self: Any, message: Any, *arguments: Any, **named: Any) -> Any:
        return real(self, replace(message, again=False), *arguments, **named)

    return want


def lends_to_old_lives(real: Any) -> Any:
    def want(self: Any, message: Any, *arguments: Any, **named: Any) -> Any:
        worker = self._workers.get(message.worker)
        return real(self, replace(message, epoch=worker.epoch) if worker else message, *arguments, **named)

    return want


def forgets_returns(_real: Any) -> Any:
    def _return(self: Any, _sequence: int, record: bytes) -> None:
        self.returned.add(RETURN.unpack_from(record)[3])

    return _return


def returns_no_shares(real: Any) -> Any:
    return lambda self, worker, epoch, number, parts: real(
        self, worker, epoch, number, [one for one in parts if one.kind == LOT]
    )


def shares_more_than_there_is(_real: Any) -> Any:
    return lambda _self, _limit, need, _now, **_named: need


def shares_what_nobody_left(_real: Any) -> Any:
    return lambda _self, _limit, _now: 0


def denies_at_once(_real: Any) -> Any:
    def _ask(_self: Any, waiting: Any, _holders: set[int]) -> None:
        waiting.peer.say(Lacking(waiting.want.number, []))

    return _ask


def returns_what_is_held(_real: Any) -> Any:
    def _give(_self: Any, lot: Any, parts: Any) -> None:
        nanos = lot.left_nanos + lot.wallet.held_nanos
        if nanos > 0:
            lot.wallet.change(lot, -lot.left_nanos)
            parts.append((LOT, lot.id, nanos))

    return _give


def returns_and_keeps(real: Any) -> Any:
    def _give(self: Any, lot: Any, parts: Any) -> None:
        before = lot.left_nanos
        real(self, lot, parts)
        lot.wallet.change(lot, before - lot.left_nanos)

    return _give


def takes_a_loan_twice(real: Any) -> Any:
    def lent(self: Any, message: Any) -> None:
        asked = self._asked.get(message.number)
        real(self, message)
        if asked is not None and message.number % 5 == 0:
            self._asked[message.number] = asked
            real(self, message)

    return lent


def lends_the_newest_first(real: Any) -> Any:
    return lambda self, wallet, now: real(self, wallet, now)[::-1]


def lends_less(real: Any) -> Any:
    def plan(self: Any, *arguments: Any, **named: Any) -> Any:
        found = real(self, *arguments, **named)
        return found._replace(suffices=found.suffices or bool(found.parts))

    return plan


def gives_tails_to_the_ledger(_real: Any) -> Any:
    def give_back(self: Any, _hold: Any, lot: int, nanos: int) -> None:
        self.lots[2 * lot] += nanos

    return give_back


def gives_suspense_to_its_worker(_real: Any) -> Any:
    def give_back(self: Any, hold: Any, lot: int, nanos: int) -> None:
        self.lots_of(hold.key >> 56)[2 * lot] += nanos

    return give_back


def settles_suspense_at_the_worker_too(real: Any) -> Any:
    def _apply_lot(self: Any, change: Any) -> None:
        real(self, change)
        wallet = self.wallets[change.wallet_id]
        if self.sized is not None and change.terms is None and change.lot_id in wallet.lots:
            wallet.change(wallet.lots[change.lot_id], change.change_nanos)

    return _apply_lot


def counts_what_others_resolve(_real: Any) -> Any:
    def change(self: Any, changes: Any) -> None:
        for one in changes:
            limit = self.known.get(one.limit_id)
            if limit is not None:
                limit.change(one.start_at, one.change)

    return change


def denies_what_was_not_asked_for(real: Any) -> Any:
    return lambda self, hold, here, refusal, asked: real(self, hold, here, refusal, None if asked is None else Wait())


BUSY = {"calls_every": SECOND // 100, "answer_micros": SECOND // 5, "undialled": 0.0, "jumps_every": 0}
KILLS = BUSY | {"worker_kills_every": SECOND, "answer_micros": 2 * SECOND}
DARK = BUSY | {"power_losses_every": SECOND, "answer_micros": 2 * SECOND, "lost_syncs": 0.0}
LATE = DARK | {
    "synced": False, "calls_every": SECOND // 20, "answer_micros": SECOND // 100, "delay_micros": SECOND // 10,
    "echoes_every": SECOND // 10, "silences": 0.0,
}  # fmt: skip
DAYS = BUSY | {"jumps_every": 2 * SECOND, "commands_every": SECOND}
SKEWED = BUSY | {"skews_every": SECOND // 2, "commands_every": SECOND // 2}
WISHES = BUSY | {"commands_every": SECOND // 3}
OWING = WISHES | {"calls_every": SECOND // 200, "answer_micros": 2 * SECOND, "silences": 0.0, "reply_losses": 0.0}

LENT = BUSY | {"workers_max": 4, "answer_micros": SECOND}
SHORT = LENT | {"calls_every": SECOND // 200, "answer_micros": 3 * SECOND}
LENT_KILLS = LENT | {"worker_kills_every": SECOND, "answer_micros": 2 * SECOND, "commands_every": SECOND // 2}
CUT = SHORT | {"cuts_every": SECOND // 2, "delay_micros": 20_000}
NAMED = LENT | {"repeats": 0.6, "calls_every": SECOND // 100}
NAMED_KILLS = NAMED | {"worker_kills_every": SECOND, "ledger_kills_every": SECOND, "delay_micros": 20_000}
NAMED_DEATHS = NAMED | {
    "worker_kills_every": SECOND, "partitions_every": SECOND, "delay_micros": 60_000, "calls_every": SECOND // 200, "repeats": 0.9,
    "power_losses_every": 0,
}  # fmt: skip

PLANTED = [
    Planted("drop a tape record", TapeWriter, "take_block", loses_a_record, BUSY),
    Planted("drop a block of a report", WorkerCore, "report", reports_no_third_block, BUSY),
    Planted(
        "go on behind a torn block",
        GroupCommit,
        "_write_now",
        goes_on_behind_a_torn_block,
        BUSY | {"disk_errors": 0.01, "synced": False},
    ),
    Planted("send before the hold is durable", GroupCommit, "hold_ready", sends_before_it_is_durable, KILLS),
    Planted("send without DISPATCHED", Spending, "dispatched", sends_without_a_word, KILLS),
    Planted("do not sync", TapeWriter, "sync", lambda _real: lambda _self: None, DARK | {"synced": True}),
    Planted("fold twice", Fold, "apply", folds_twice, BUSY),
    Planted("reorder the fold", Fold, "_blocks", folds_backwards, BUSY),
    Planted(
        "skip the epoch check",
        Ledger,
        "report",
        skips_the_epoch_check,
        LATE,
    ),
    Planted("acknowledge too much", Ledger, "report", acknowledges_too_much, BUSY),
    Planted("forget suspense", HoldChanges, "suspend", forgets_suspense, KILLS),
    Planted("free a lapsed lease", Ledger, "_lapse_earlier", frees_a_lapsed_lease, DARK | {"synced": False}),
    Planted("leave a dead life's holds", Ledger, "_lapse_earlier", leaves_dead_holds, DARK | {"synced": False}),
    Planted("lease what is in suspense", leasing, "ready_parts", leases_what_is_held, KILLS),
    Planted("forget first answers", Ledger, "_earlier_answer", forgets_first_answers, WISHES | {"reply_losses": 0.5}),
    Planted("unlink the chain", Journal, "close_batch", unlinks_the_chain),
    Planted("trust the ledger's wall clock", Ledger, "now", trusts_the_ledgers_clock, SKEWED),
    Planted(
        "decide suspense at once",
        ageing,
        "SUSPENSE_MICROS_MAX",
        lambda _real: 0,
        BUSY | {"silences": 0.3, "chores_every": SECOND},
    ),
    Planted("decide suspense at the bound", reconciling, "estimated", charges_the_evidence_and_more, KILLS | DAYS),
    Planted(
        "delete a tape that is not folded",
        retention,
        "_delete",
        deletes_what_is_not_folded,
        KILLS | {"chores_every": SECOND},
    ),
    Planted("release what was sent", recovery, "_ending", releases_what_was_sent, KILLS),
    Planted("ignore the kernel's boot", recovery, "_ending", ignores_the_boot, DARK | {"synced": True}),
    Planted("leave a torn tail", recovery, "cut_torn_tail", leaves_the_torn_tail, KILLS | {"disk_deaths": 0.01}),
    Planted("tell nothing of earlier lives", WorkerCore, "_recover", tells_nothing_of_earlier_lives, KILLS),
    Planted("shrink a hold", Spending, "_short", shrinks_a_hold, BUSY),
    Planted("admit what is not there", Spending, "_available", admits_what_is_not_there, BUSY),
    Planted("settle twice", Spending, "settle", settles_twice, BUSY),
    Planted("keep the tail", Spending, "_return", keeps_the_tail, BUSY),
    Planted("refund an abort", Spending, "lapse", refunds_an_abort, BUSY | {"silences": 0.3}),
    Planted("draw what has expired", HotWallet, "look", draws_the_expired, DAYS),
    Planted("draw what has not vested", HotWallet, "look", draws_the_unvested, DAYS),
    Planted("draw the newest lot first", HotLot, "rank", draws_the_newest_first, WISHES),
    Planted("trust the worker's wall clock", Spending, "_stamp", trusts_the_workers_clock, SKEWED),
    Planted("owe recalls nothing", Leases, "give_back", owes_recalls_nothing, OWING),
    Planted("forget the clients' call ids", CallMemory, "by_client", knows_no_call_ids, {"repeats": 0.3}),
    Planted("forget folded call ids", ClaimBook, "_sent", forgets_what_is_folded, NAMED),
    Planted("free a dead life's claims at once", Ledger, "hello", frees_what_is_not_told, NAMED_DEATHS),
    Planted("claim in memory alone", ClaimBook, "load", claims_in_memory_alone, NAMED_KILLS),
    Planted("give back a claim that was used", Claims, "used", ends_what_was_used, NAMED),
    Planted("give no claim back", Claims, "drop", ends_what_was_used, NAMED | {"calls_every": SECOND // 300}),
    Planted("keep claims that are folded", ClaimBook, "folded", ends_what_was_used, NAMED),
    Planted("keep revoked keys", Leases, "_apply_keys", keeps_revoked_keys, WISHES),
    Planted("true no limit up", Limited, "true_up", trues_no_limit_up, WISHES),
    Planted("skip a delta", WorkerCore, "_delta", skips_a_delta, WISHES),
    Planted("lend and keep", Mirror, "lend", lends_and_keeps, SHORT),
    Planted("lend the same want twice", Ledger, "want", lends_twice, CUT),
    Planted(
        "lend to a life that is over", Ledger, "want", lends_to_old_lives, LENT_KILLS | {"echoes_every": SECOND // 10}
    ),
    Planted(
        "lend the newest lot first", Lending, "_eligible", lends_the_newest_first, LENT | {"commands_every": SECOND}
    ),
    Planted("lend less than is needed", Lending, "plan", lends_less, SHORT),
    Planted("forget returns", Fold, "_return", forgets_returns, SHORT),
    Planted("return no shares", LeaseBook, "note", returns_no_shares, SHORT | {"commands_every": SECOND // 3}),
    Planted(
        "share more than the whole",
        Lending,
        "_share",
        shares_more_than_there_is,
        WISHES | LENT | {"commands_every": SECOND // 3},
    ),
    Planted(
        "share what dead lives used",
        Lending,
        "_used_by_nobody",
        shares_what_nobody_left,
        LENT_KILLS | {"overruns": 0.0, "skews_every": 0},
    ),
    Planted(
        "round shares up",
        lending,
        "SHARE_SLACK",
        lambda _real: 0,
        LENT | {"commands_every": SECOND // 2, "skews_every": 0},
    ),
    Planted("deny before the others returned", LeaseDesk, "_ask", denies_at_once, SHORT),
    Planted("wait for nobody's return", lease_desk, "LEASE_ANSWER_SECONDS_MAX", lambda _real: 0, SHORT),
    Planted("deny what was not asked for", SizedLease, "refusal", denies_what_was_not_asked_for, SHORT),
    Planted("believe what no want lacked", SizedLease, "_lacks_as_much", lambda _real: lambda *_arguments: True, SHORT),
    Planted(
        "deny whoever's time is over",
        SizedLease,
        "_has_lacked",
        lambda _real: staticmethod(lambda *_asked: True),
        SHORT,
    ),
    Planted("return what is held", SizedLease, "_give", returns_what_is_held, SHORT),
    Planted("return and keep", SizedLease, "_give", returns_and_keeps, SHORT),
    Planted("return nothing that lies idle", SizedLease, "idle", lambda _real: lambda _self: [], LENT),
    Planted("take a loan twice", SizedLease, "lent", takes_a_loan_twice, LENT),
    Planted("end no lease", LeaseBook, "end", lambda _real: lambda *_arguments: None, LENT_KILLS),
    Planted("give tails to the ledger", Mirror, "give_back", gives_tails_to_the_ledger, LENT),
    Planted(
        "give suspense to its worker", Mirror, "give_back", gives_suspense_to_its_worker, LENT_KILLS | {"silences": 0.3}
    ),
    Planted(
        "settle suspense at the worker, too",
        Leases,
        "_apply_lot",
        settles_suspense_at_the_worker_too,
        LENT_KILLS | {"silences": 0.3},
    ),
    Planted(
        "count what others resolve", HotLimits, "change", counts_what_others_resolve, LENT_KILLS | {"silences": 0.3}
    ),
]

__all__ = ["PLANTED", "Planted", "caught", "focused"]
