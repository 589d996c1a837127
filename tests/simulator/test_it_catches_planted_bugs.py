"""Bugs planted in tape, recovery, protocol, fold and ledger: each is caught by the same judgement that the schedules must pass."""

from pathlib import Path

from tests import ledger_kit as kit
from tests.simulator import world as simulator
from tests.simulator.world import run
from tokenroll.engine.chaining import GENESIS_HASH
from tokenroll.model.hold import Slice
from tokenroll.services import recovery
from tokenroll.services.ledger import Ledger
from tokenroll.services.worker_link import WorkerCore
from tokenroll.store.fold import Fold
from tokenroll.store.hold_changes import HoldChanges
from tokenroll.store.journal import Journal
from tokenroll.store.mirror import Mirror
from tokenroll.store.tape import Block, TapeRelease, TapeWriter, block_span

SCHEDULES_MAX = 120


def caught(tmp_path: Path, *, synced: bool = True, power_fails: bool = True) -> str:
    """What the first schedule that noticed said; empty if none did."""
    for seed in range(SCHEDULES_MAX):
        try:
            run(seed, tmp_path / "tape", synced=synced, power_fails=power_fails)
        except Exception as error:  # noqa: BLE001 - whatever notices the bug has caught it
            return f"{type(error).__name__}: {error}"
    return ""


def test_it_passes_without_a_bug(tmp_path: Path):
    for seed in range(8):
        run(seed, tmp_path / "tape", synced=True)


def test_it_catches_a_fold_that_folds_twice(tmp_path: Path, monkeypatch):
    def again(self, worker, epoch, blocks, folded_sequence, now):
        whole(self, worker, epoch, blocks, folded_sequence, now)
        return folded_sequence

    whole = Fold.apply
    monkeypatch.setattr(Fold, "apply", again)
    assert caught(tmp_path)


def test_it_catches_a_worker_that_settles_twice(tmp_path: Path, monkeypatch):
    def twice(self, sequence):
        tokens = self.holds[sequence]["tokens"]
        once(self, sequence)
        self.tape.append(kit.settle_record(sequence, *tokens, at=self.world.now))

    once = simulator.Worker.settle
    monkeypatch.setattr(simulator.Worker, "settle", twice)
    assert "it ended before, or never began" in caught(tmp_path)


def test_it_catches_a_fold_that_accepts_a_second_end(tmp_path: Path, monkeypatch):
    """With the table of transitions gone, the charge itself is double."""

    def twice(self, sequence):
        tokens = self.holds[sequence]["tokens"]
        once(self, sequence)
        self.tape.append(kit.settle_record(sequence, *tokens, at=self.world.now))

    def forgiving(self, opened, charge_nanos, record):
        if self._base | opened in self._mirror.holds or opened in self._fresh:
            strict(self, opened, charge_nanos, record)
        else:
            self._changes.batch.move(kit.ADA_LOT, spent=charge_nanos)

    once, strict = simulator.Worker.settle, Fold._settle
    monkeypatch.setattr(simulator.Worker, "settle", twice)
    monkeypatch.setattr(Fold, "_settle", forgiving)
    assert "kind='lot'" in caught(tmp_path)


def test_it_catches_a_report_that_drops_a_block(tmp_path: Path, monkeypatch):
    def leaky(self, block):
        if block_span(block)[0] % 5 != 2:
            whole(self, block)

    whole = WorkerCore.report
    monkeypatch.setattr(WorkerCore, "report", leaky)
    assert "gap" in caught(tmp_path)


def test_it_catches_a_recovery_that_releases_what_was_sent(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recovery, "_ending", never_sent)
    assert "is only for one that is held" in caught(tmp_path, power_fails=False)


def test_it_catches_a_fold_that_lets_it(tmp_path: Path, monkeypatch):
    def easy(self, record):
        opened = int.from_bytes(record[4:12], "little")
        self._changes.end(self._opened(opened), kit.Outcome.RELEASED, record, 0)

    monkeypatch.setattr(recovery, "_ending", never_sent)
    monkeypatch.setattr(Fold, "_release", easy)
    assert "was charged 0, the provider billed" in caught(tmp_path, power_fails=False)


def never_sent(hold, *, same_kernel, now):
    return kit.release_record(hold.sequence, TapeRelease.NEVER_DISPATCHED, at=now)


def test_it_catches_a_recovery_that_ignores_the_kernels_boot(tmp_path: Path, monkeypatch):
    """After a power loss "no DISPATCHED" proves nothing: it was written, not synced."""

    def trusting(hold, *, same_kernel, now):
        return whole(hold, same_kernel=True, now=now)

    whole = recovery._ending
    monkeypatch.setattr(recovery, "_ending", trusting)
    assert "the provider billed" in caught(tmp_path)


def test_it_catches_a_torn_tail_left_in_place(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(recovery, "cut_torn_tail", lambda directory, epoch, disk: 0)
    assert "the worker never came back" in caught(tmp_path)  # it ends and says that an earlier tape is damaged


def test_it_catches_a_tape_that_is_not_synced(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(TapeWriter, "sync", lambda self: None)
    assert "the ledger does not know" in caught(tmp_path, synced=True)


def test_it_catches_a_call_sent_before_dispatched_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(kit, "dispatched_record", lambda *sequences, at=0: kit.pack_name(900, "nothing"))
    assert caught(tmp_path)


def test_it_catches_money_that_never_reaches_suspense(tmp_path: Path, monkeypatch):
    def forgetful(self, hold, lapse, at, now):
        hold.lapsed_at = at
        hold.record += lapse
        self.batch.touched.add(hold.key)

    monkeypatch.setattr(HoldChanges, "suspend", forgetful)
    assert "suspense_nanos >= 0" in caught(tmp_path)


def test_it_catches_a_tail_that_is_not_returned(tmp_path: Path, monkeypatch):
    """The ledger and its worker then disagree about what is left, and the fold halts at the next draw."""

    monkeypatch.setattr(Mirror, "give_back", lambda self, hold, lot, nanos: None)
    assert "overdraw" in caught(tmp_path, power_fails=False) or "kind='lot'" in caught(tmp_path, power_fails=False)


def test_it_catches_a_charge_taken_from_the_wrong_lot(tmp_path: Path, monkeypatch):
    def shifted(self, hold, outcome, end, charge_nanos):
        hold.slices = tuple(Slice(kit.BO_LOT if lot == kit.ADA_LOT else lot, nanos) for lot, nanos in hold.slices)
        return whole(self, hold, outcome, end, charge_nanos)

    whole = HoldChanges.end
    monkeypatch.setattr(HoldChanges, "end", shifted)
    assert caught(tmp_path)


def test_it_catches_a_link_missing_in_the_chain(tmp_path: Path, monkeypatch):
    def unlinked(self, closed_at, source=(None, None, None, None)):
        self.head_hash = GENESIS_HASH
        return whole(self, closed_at, source)

    whole = Journal.close_batch
    monkeypatch.setattr(Journal, "close_batch", unlinked)
    assert "kind='chain'" in caught(tmp_path)


def test_it_catches_a_dead_workers_holds_left_held(tmp_path: Path, monkeypatch):
    """After a power loss the ledger may know holds that the tape has lost; READY lapses them."""
    monkeypatch.setattr(Ledger, "_lapse_earlier", lambda self, worker, epoch, now: None)
    assert "is still held" in caught(tmp_path, synced=False)


def test_it_catches_a_closed_epoch_that_may_still_report(monkeypatch):
    def zombie_is_refused() -> bool:
        one = kit.Kit()
        one.new_life()
        blocks = kit.pack_block(1, [kit.hold_record(1, (kit.ADA_LOT, 10))])
        answer = one.ledger.report(kit.Report(worker=0, epoch=1, blocks=blocks))
        return isinstance(answer, kit.Refusal) and answer.kind == "closed_epoch"

    assert zombie_is_refused()
    whole = Ledger.report

    def unchecked(self, message):
        self._workers[message.worker].closed_epoch = 0
        return whole(self, message)

    monkeypatch.setattr(Ledger, "report", unchecked)
    assert not zombie_is_refused()


def test_it_catches_blocks_read_in_the_wrong_order(tmp_path: Path, monkeypatch):
    def reversed_blocks(blocks: bytes, sequence: int) -> list[Block]:
        return list(reversed(list(whole(blocks, sequence))))

    whole = Fold._blocks
    monkeypatch.setattr(Fold, "_blocks", staticmethod(reversed_blocks))
    assert "halted" in caught(tmp_path)
