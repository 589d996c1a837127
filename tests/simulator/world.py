"""A world small enough to be wrecked ten thousand times: one worker, one ledger, one provider, and a seed that decides all.

The worker is not the product's: it draws, holds and settles in twenty plain lines, so that tape, recovery, protocol, fold and
reconciliation are judged by somebody else's bookkeeping. The provider writes its bill as a request reaches it. At the end the bill
must equal the ledger plus what is named in suspense, and after reconciliation equal it to the nano.
"""

import os
import random
import shutil
from pathlib import Path
from typing import Any

from tests import ledger_kit as kit
from tests.lone_worker import LoneWorker
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import Command, Delta, Lease, Refusal, View
from tokenroll.services.worker_link import WorkerCore
from tokenroll.store.attempt_record import LimitRaise, hold_key, parse_record
from tokenroll.store.database import raw_connection
from tokenroll.store.tape import RAISE_WOULD_DENY, KernelDisk, TapeRelease, TapeWriter, pack_gives, worker_directory
from tokenroll.store.verify import verify


class LossyDisk(KernelDisk):
    """A disk that can lose power: what was not synced is gone from a random byte on, and so are names not synced."""

    def __init__(self) -> None:
        self.paths: dict[int, Path] = {}
        self.synced: dict[Path, int] = {}
        self.named: set[Path] = set()

    def open_append(self, path: Path) -> int:
        descriptor = super().open_append(path)
        self.paths[descriptor] = path
        self.synced.setdefault(path, 0)
        return descriptor

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self.paths.pop(descriptor, None)

    def close_all(self) -> None:
        """What dead workers left open: ten thousand schedules in one process would run out of descriptors."""
        for descriptor in list(self.paths):
            self.close(descriptor)

    def sync(self, descriptor: int) -> None:
        self.synced[self.paths[descriptor]] = os.fstat(descriptor).st_size

    def cut(self, path: Path, size: int) -> None:
        super().cut(path, size)
        self.synced[path] = size

    def sync_directory(self, path: Path) -> None:
        self.named.update(one for one in self.synced if one.parent == path)

    def lose_power(self, rng: random.Random) -> None:
        for path, synced in self.synced.items():
            if not path.exists():
                continue
            if path not in self.named:
                path.unlink()
                continue
            size = path.stat().st_size
            os.truncate(path, rng.randint(synced, size) if size > synced else size)


class Worker(LoneWorker):
    """Draws lots in the order of the lease, holds, sends, settles."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.tape: TapeWriter | None = None
        self.lots: dict[int, list[list[int]]] = {}
        self.leased = False
        self.dead = False
        self.holds: dict[int, dict[str, Any]] = {}
        self.owed: list[list[int]] = []
        self.core = WorkerCore(
            0, world.directory, self, boot_id=world.boot_id, clock=lambda: world.now, disk=world.disk
        )

    # what the ledger says
    def begin(self, epoch: int) -> None:
        self.tape = TapeWriter(
            self.world.directory, worker=0, epoch=epoch, boot_id=self.world.boot_id, created_at=self.world.now,
            disk=self.world.disk,
        )  # fmt: skip

    def take_used(self, keys_max: int) -> list[int]:
        return []

    def apply_view(self, view: View) -> None: ...

    def apply_lease(self, lease: Lease) -> None:
        for wallet in lease.wallets:
            self.lots[wallet.id] = [[lot.id, lot.available_nanos] for lot in wallet.lots]
        self.leased = lease.last

    def apply_delta(self, delta: Delta) -> None:
        for change in delta.lots:
            lots = self.lots.setdefault(change.wallet_id, [])
            if change.terms is not None:
                lots.append([change.lot_id, change.terms.available_nanos])
            else:
                self.give_back(change.lot_id, change.change_nanos)
        gives = []
        for one in delta.recalls:
            mates = [other for other in delta.recalls if other.group_id == one.group_id and one.mode == "whole"]
            left = 0 if any(self.left(other.lot_id) < other.wanted_nanos for other in mates) else self.left(one.lot_id)
            gives.append((one.id, one.lot_id, min(left, one.wanted_nanos)))
            if one.mode == "owed" and left < one.wanted_nanos:
                self.owed.append([one.id, one.lot_id, one.wanted_nanos - left])
        for _, lot_id, nanos in gives:
            self.find(lot_id)[1] -= nanos
        if gives:
            assert self.tape is not None
            self.tape.append(pack_gives(delta.number, self.world.now, gives))

    def left(self, lot_id: int) -> int:
        return self.find(lot_id)[1]

    def find(self, lot_id: int) -> list[int]:
        """The lot and what is left of it; one that is not leased has nothing."""
        known = [lot for lots in self.lots.values() for lot in lots if lot[0] == lot_id]
        return known[0] if known else [lot_id, 0]

    def ended(self, refusal: Refusal) -> None:
        self.dead = True

    # what the world makes it do
    def admit(self, rng: random.Random) -> None:
        wallet = rng.choice((kit.ADA, kit.ADA, kit.BO, kit.NIGHTLY))
        need = bound = rng.choice((1, 10**6, 3 * 10**9, 25 * 10**9))
        slices: list[tuple[int, int]] = []
        for lot in [*self.lots.get(wallet, []), *self.lots.get(kit.POOL, [])]:
            taken = min(lot[1], need)
            if taken:
                slices.append((lot[0], taken))
                need -= taken
        if need:
            return
        for lot_id, nanos in slices:
            self.give_back(lot_id, -nanos)
        assert self.tape is not None
        sequence = self.tape.next_sequence
        record = kit.hold_record(
            sequence,
            *slices,
            wallet=wallet,
            epoch=self.tape.epoch,
            at=self.world.now,
            raises=self.raises(wallet, bound),
        )
        self.tape.append(record)
        self.holds[sequence] = {"state": "appended", "slices": slices, "bound": bound, "at": self.world.now}

    def raises(self, wallet: int, bound: int) -> tuple[LimitRaise, ...]:
        """Ada's calls are counted by the day and by the minute, everybody else's by nobody."""
        if wallet != kit.ADA:
            return ()
        now = self.world.now
        return (
            LimitRaise(1, 0, 0, now - now % kit.DAY, bound),
            LimitRaise(2, 1, RAISE_WOULD_DENY, now - now % 1_000_000, 1),
        )

    def commit(self) -> None:
        assert self.tape is not None
        block = self.tape.take_block()
        if not block:
            return
        self.tape.write(block, self.world.now)
        if self.world.synced:
            self.tape.sync()
        for hold in self.holds.values():
            if hold["state"] == "appended":
                hold["state"] = "durable"
        self.core.report(block)

    def dispatch(self, sequence: int, rng: random.Random) -> None:
        """DISPATCHED is written (not synced) before the first byte; then the provider knows, and bills."""
        assert self.tape is not None
        self.tape.append(kit.dispatched_record(sequence, at=self.world.now))
        block = self.tape.take_block()
        self.tape.write(block, self.world.now)
        hold = self.holds[sequence]
        for other in self.holds.values():
            if other["state"] == "appended":
                other["state"] = "durable" if not self.world.synced else "appended"
        self.core.report(block)
        tokens = (min(hold["bound"] // kit.IN_NANOS, 1_000), 0) if rng.random() < 0.8 else (0, 0)
        if rng.random() < 0.1:
            tokens = (hold["bound"] // kit.IN_NANOS + rng.randint(0, 3), rng.randint(0, 2))
        call = kit.call_number(hold["at"], self.tape.epoch, sequence)
        hold |= {"state": "dispatched", "tokens": tokens}
        self.world.bill.append(bill_line(call, tokens, self.world.now))

    def evidence(self, sequence: int, rng: random.Random) -> None:
        assert self.tape is not None
        tokens = self.holds[sequence]["tokens"]
        self.tape.append(kit.evidence_record(sequence, rng.randint(0, tokens[0]), 0, at=self.world.now))

    def settle(self, sequence: int) -> None:
        assert self.tape is not None
        hold = self.holds.pop(sequence)
        self.tape.append(kit.settle_record(sequence, *hold["tokens"], at=self.world.now))
        self._return_tail(hold, kit.cost_of(*hold["tokens"]))

    def release(self, sequence: int) -> None:
        """Before dispatch: not sent. After it: only if the provider billed nothing."""
        assert self.tape is not None
        hold = self.holds.pop(sequence)
        sent = hold["state"] == "dispatched"
        reason = TapeRelease.PROVIDER_ERROR if sent else TapeRelease.NOT_SENT
        self.tape.append(kit.release_record(sequence, reason, at=self.world.now))
        self._return_tail(hold, 0)

    def lapse(self, sequence: int) -> None:
        assert self.tape is not None
        self.holds.pop(sequence)
        self.tape.append(kit.lapse_record(sequence, at=self.world.now))

    def give_back(self, lot_id: int, nanos: int) -> None:
        """What comes back of a lot pays what is owed of it to recalls, oldest first."""
        self.find(lot_id)[1] += nanos
        for one in list(self.owed):
            paid = min(one[2], self.left(lot_id)) if one[1] == lot_id and nanos > 0 else 0
            if paid:
                assert self.tape is not None
                self.tape.append(pack_gives(0, self.world.now, [(one[0], lot_id, paid)]))
                self.find(lot_id)[1] -= paid
                one[2] -= paid
                if not one[2]:
                    self.owed.remove(one)

    def _return_tail(self, hold: dict[str, Any], charge: int) -> None:
        for lot_id, nanos in hold["slices"]:
            taken = min(nanos, charge)
            charge -= taken
            self.give_back(lot_id, nanos - taken)


def bill_line(call: int, tokens: tuple[int, int], at: int) -> dict[str, Any]:
    return {
        "call_id": f"call_{call:032x}", "attempt": 1, "request_id": f"r{call:x}", "provider": "anthropic", "model": "sonnet",
        "service_tier": "standard", "at": at, "usage": {"input": tokens[0], "output": tokens[1]}, "status": "complete",
        "cost_nanos": kit.cost_of(*tokens),
    }  # fmt: skip


FAULTS = frozenset({"cut_line", "kill_worker", "kill_ledger", "lose_power"})


class World:
    """Everything, and what may happen to it."""

    def __init__(self, seed: int, folder: Path, *, synced: bool, power_fails: bool = True) -> None:
        self.rng = random.Random(seed)
        self.synced = synced
        self.power_fails = power_fails
        self.power_was_lost = False
        self.faults = 0
        self.now = kit.START
        self.boot_id = kit.BOOT
        self.bill: list[dict[str, Any]] = []
        self.disk = LossyDisk()
        shutil.rmtree(folder, ignore_errors=True)
        self.directory = worker_directory(folder, 0)
        self.connection = kit.connect()
        self.ledger = kit.new_ledger(self.connection, lambda: self.now)
        self.server = LedgerServer(self.ledger)
        self.start_worker()

    # ---- events -----------------------------------------------------------------------------------------

    def start_worker(self) -> None:
        self.worker = Worker(self)
        self.link = Loopback(self.server, self.worker.core)

    def step(self) -> None:
        """One random event."""
        self.now += self.rng.randint(0, 5_000_000)
        kind = self.rng.choices(
            ("work", "talk", "some_talk", "cut_line", "kill_worker", "kill_ledger", "lose_power", "command"),
            (60, 12, 8, 3, 4, 3, 2 if self.power_fails else 0, 3),
        )[0]
        self.faults += kind in FAULTS
        getattr(self, kind)()

    def work(self) -> None:
        worker, rng = self.worker, self.rng
        if not worker.leased or worker.dead:
            self.talk()
            return
        for _ in range(rng.randint(1, 6)):
            ready = [key for key, hold in worker.holds.items() if hold["state"] == "durable"]
            sent = [key for key, hold in worker.holds.items() if hold["state"] == "dispatched"]
            move = rng.random()
            if move < 0.3 or not worker.holds:
                worker.admit(rng)
            elif move < 0.5:
                worker.commit()
            elif move < 0.75 and ready:
                worker.dispatch(rng.choice(ready), rng)
            elif move < 0.8 and sent:
                worker.evidence(rng.choice(sent), rng)
            elif move < 0.95 and sent:
                worker.settle(rng.choice(sent))
            elif move < 0.97 and ready:
                worker.release(rng.choice(ready))
            elif sent:
                self._end_oddly(rng.choice(sent))

    def _end_oddly(self, sequence: int) -> None:
        if self.worker.holds[sequence]["tokens"] == (0, 0):
            self.worker.release(sequence)
        else:
            self.worker.lapse(sequence)

    def talk(self) -> None:
        """Everything said is heard. A fold never halts for what a sound worker wrote."""
        self.link.pump()
        assert self.worker.core.halt is None, self.worker.core.halt

    def some_talk(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.link.step()

    def cut_line(self) -> None:
        self.link.close()
        if self.worker.dead:
            self.start_worker()
        else:
            self.link = Loopback(self.server, self.worker.core)

    def kill_worker(self) -> None:
        """SIGKILL: what was handed to the kernel stays, the block being written may be there in part."""
        self._tear_tail()
        self.link.close()
        self.start_worker()

    def kill_ledger(self) -> None:
        self.link.close()
        self.connection.rollback()
        self.ledger = kit.new_ledger(self.connection, lambda: self.now)
        self.server = LedgerServer(self.ledger)
        self.link = Loopback(self.server, self.worker.core)

    def lose_power(self) -> None:
        self.power_was_lost = True
        self._tear_tail()
        self.disk.lose_power(self.rng)
        self.boot_id = bytes([self.boot_id[0] + 1]) + self.boot_id[1:]
        self.link.close()
        self.connection.rollback()
        self.ledger = kit.new_ledger(self.connection, lambda: self.now)
        self.server = LedgerServer(self.ledger)
        self.start_worker()

    def command(self) -> None:
        kind = self.rng.random()
        identifier = f"c{self.now}-{self.rng.random()}"
        if kind < 0.4:
            self.execute("grant.top_up", identifier, to=self.rng.choice(("Ada", "Bo")), amount_nanos=10**9)
        elif kind < 0.5:
            grants = raw_connection(self.connection).execute("SELECT public_id FROM grants ORDER BY id").fetchall()
            self.connection.rollback()
            grant = self.rng.choice(grants)[0]
            self.execute("grant.void", identifier, grant=grant, reason="an error")
        else:
            known = self.rng.sample(self.bill, self.rng.randint(0, len(self.bill)))
            self.execute("reconcile", identifier, rows=known)

    def execute(self, name: str, identifier: str, **arguments: Any) -> dict[str, Any]:
        command = Command(id=identifier, name=name, arguments=arguments)
        reply = self.ledger.execute(command)
        assert reply.result is not None, reply.problem
        self.server.publish()
        return reply.result

    def _tear_tail(self) -> None:
        tape = self.worker.tape
        if tape is None or not tape.has_pending or self.rng.random() < 0.5:
            return
        block = tape.take_block()
        tape.write(block[: self.rng.randint(0, len(block) - 1)], self.now)

    # ---- judgement ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Faults stop; everything must converge, and every sum must meet."""
        self.link.close()
        self.start_worker()
        self.talk()
        assert self.worker.core.halt is None, self.worker.core.halt
        assert self.worker.leased, "the worker never came back"
        assert not [hold for hold in self.open_holds() if hold["state"] != "suspense"], (
            "a hold of a dead worker is still held"
        )
        self.check_bill()
        self.check_rows()

    def open_holds(self) -> list[dict[str, Any]]:
        rows = raw_connection(self.connection).execute("SELECT hold_key, state, record FROM holds").fetchall()
        return [{"key": key, "state": state, "record": record} for key, state, record in rows]

    def check_rows(self) -> None:
        self.connection.rollback()
        verified = verify(self.connection, self.now)
        self.connection.rollback()
        assert verified.holds, verified.differences[:5]
        rows = raw_connection(self.connection).execute
        (counted,) = rows("SELECT coalesce(sum(used), 0) FROM limit_counters WHERE limit_id = 1").fetchone()
        (charged,) = rows(
            "SELECT coalesce(sum(charge_nanos), 0) FROM settlements WHERE wallet_id = ?", (kit.ADA,)
        ).fetchone()
        holds = [parse_record(hold["record"]).hold for hold in self.open_holds()]
        assert counted == charged + sum(hold.bound_nanos for hold in holds if hold.wallet_id == kit.ADA), "Ada's limit"

    def check_bill(self) -> None:
        """Bill = ledger + what is named in suspense; then reconcile, and bill = ledger."""
        billed = {line["call_id"]: line["cost_nanos"] for line in self.bill}
        settled = self.settled()
        suspense = {
            f"call_{parse_record(hold['record']).hold.call_number(hold['key']):032x}" for hold in self.open_holds()
        }
        lost = billed.keys() - settled.keys() - suspense
        if self.synced or not self.power_was_lost:
            assert not lost, f"the provider billed calls that the ledger does not know: {lost}"
        for call, charge in settled.items():
            assert charge == billed.get(call, 0), f"{call} was charged {charge}, the provider billed {billed.get(call)}"
        in_suspense = sum(billed.get(call, 0) for call in suspense)
        assert sum(billed.values()) == sum(settled.values()) + in_suspense + sum(billed[call] for call in lost)
        known = [line for line in self.bill if line["call_id"] not in lost]
        answer = self.execute("reconcile", f"last-{self.now}", rows=known)
        assert answer["differences"] == []
        unsent = suspense - billed.keys()
        assert answer["suspense_count"] == len(unsent)
        settled = self.settled()
        assert sum(settled.values()) == sum(line["cost_nanos"] for line in known)

    def settled(self) -> dict[str, int]:
        """What the ledger charged, by call."""
        rows = (
            raw_connection(self.connection).execute("SELECT hold_key, charge_nanos, record FROM settlements").fetchall()
        )
        found: dict[str, int] = {}
        for key, charge, record in rows:
            attempt = parse_record(record)
            call = attempt.hold.call_number(key)
            assert call & (1 << 40) - 1 == hold_key(key).sequence
            found[f"call_{call:032x}"] = charge
        assert len(found) == len(rows), "a call was settled twice"
        return found


def run(seed: int, folder: Path, *, synced: bool, steps: int = 25, power_fails: bool = True) -> World:
    """One schedule; whatever is wrong at its end is told with the seed."""
    world = None
    try:
        world = World(seed, folder, synced=synced, power_fails=power_fails)
        for _ in range(steps):
            world.step()
        world.finish()
    except Exception as error:
        error.add_note(f"seed {seed}, synced {synced}, power_fails {power_fails}, steps {steps}")
        raise
    finally:
        if world is not None:
            world.disk.close_all()
    return world
