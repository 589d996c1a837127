"""A worker that has everything: what several workers say to each other it never hears."""

from pathlib import Path

from tests.ledger_kit import BOOT, START
from tokenroll.services.protocol import Amounts, AskBack, Claim, Claimed, Lacking, Lent, Want
from tokenroll.store.tape import TapeWriter


class LoneWorker:
    """The part of a worker's events that is of sized leases. Heard without one, they fail the test."""

    def lent(self, lent: Lent) -> None:
        raise AssertionError(lent)

    def lacking(self, lacking: Lacking) -> None:
        raise AssertionError(lacking)

    def ask_back(self, asked: AskBack) -> None:
        raise AssertionError(asked)

    def told(self, amounts: Amounts) -> None:
        raise AssertionError(amounts)

    def claimed(self, claimed: Claimed) -> None:
        raise AssertionError(claimed)

    def unanswered(self) -> list[Want | Claim]:
        return []


class ListeningWorker(LoneWorker):
    """A worker that writes down what it hears."""

    def __init__(self, directory: Path, worker: int = 0) -> None:
        self.directory = directory
        self._worker = worker
        self.heard: list[str] = []
        self.lots: dict[int, int] = {}

    def begin(self, epoch):
        self.heard.append(f"begin {epoch}")
        self.tape = TapeWriter(self.directory, worker=self._worker, epoch=epoch, boot_id=BOOT, created_at=START)

    def take_used(self, keys_max: int) -> list[int]:
        return []

    def apply_view(self, view):
        self.heard.append("view")

    def apply_lease(self, lease):
        self.heard.append("lease")
        self.lots |= {lot.id: lot.available_nanos for wallet in lease.wallets for lot in wallet.lots}

    def apply_delta(self, delta):
        self.heard.append(f"delta {delta.number}")
        for change in delta.lots:
            self.lots[change.lot_id] = self.lots.get(change.lot_id, 0) + change.change_nanos

    def ended(self, refusal):
        self.heard.append(f"ended {refusal.kind}")

    def write(self, *records):
        for record in records:
            self.tape.append(record)
        block = self.tape.take_block()
        self.tape.write(block, START)
        return block
