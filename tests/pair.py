"""Several real workers and a real ledger in one process: their own tapes, the protocol's frames between them, a clock that tests move.

Calls are made and settled by word; what a worker and the ledger say to each other is heard when `talk` is called. A call that waits is
tried again as the gateway tries it.
"""

from pathlib import Path
from typing import Any

from tests import ledger_kit as kit
from tests.desk import CHAT, PEPPER, SIM, make_facts, make_meter
from tokenroll.model.hold import ReleaseReason
from tokenroll.services.hot import HotHold, Wait
from tokenroll.services.keys import key_hash
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.loopback import Loopback
from tokenroll.services.protocol import (
    Amounts,
    AskBack,
    Claim,
    Claimed,
    Delta,
    Lacking,
    Lease,
    Lent,
    Refusal,
    View,
    Want,
)
from tokenroll.services.restoring import learn_lives
from tokenroll.services.spending import Spending
from tokenroll.services.worker_link import WorkerCore
from tokenroll.store.database import raw_connection
from tokenroll.store.tape import Finish, TapeWriter, worker_directory
from tokenroll.store.verify import verify
from tokenroll.upstream.dialect import Denial

SECRETS = {"Ada": b"tr-ada", "Bo": b"tr-bo", "Nightly": b"tr-nightly"}


class Call:
    """One call: its facts, and what became of it."""

    def __init__(self, worker: "Worker", name: str, facts: Any, call_id: bytes | None) -> None:
        self.call_id = call_id
        self.worker = worker
        self.name = name
        self.facts = facts
        self.answer: Any = None
        self.key_id = 0
        self.may_wait = False
        """For what parallel calls hold."""

    @property
    def hold(self) -> HotHold:
        assert isinstance(self.answer, HotHold), self.answer
        return self.answer

    @property
    def denial(self) -> Denial:
        assert isinstance(self.answer, Denial), self.answer
        return self.answer

    def attempt(self, asked: Wait | None = None) -> None:
        spending, now = self.worker.spending, self.worker.pair.now
        key = spending.key_for(SECRETS[self.name], now)
        assert key is not None
        self.key_id = key.id
        self.answer = spending.admit(
            key, CHAT, self.facts, now, deployment=SIM, may_wait=self.may_wait, asked=asked, call_id=self.call_id
        )
        if isinstance(self.answer, Wait):
            wait = self.answer
            spending.wait(wait, lambda: self.worker.woken.append((self, wait if wait.lacked else None)))

    def settle(self, **counts: int) -> int:
        """What it cost: these model tokens."""
        spending, now = self.worker.spending, self.worker.pair.now
        spending.dispatched([self.hold], now)
        return spending.settle(self.hold, make_meter(**counts), now, 200, Finish.COMPLETE)

    def release(self) -> None:
        self.worker.spending.release(self.hold, ReleaseReason.NOT_SENT, self.worker.pair.now)


class Worker:
    """One worker: what `gateway/process.py` is, without a network."""

    def __init__(self, pair: "Pair", number: int) -> None:
        self.pair = pair
        self.number = number
        self.spending: Spending
        self.woken: list[tuple[Call, Wait | None]] = []
        self.asked: list[AskBack] = []
        self.amounts: list[Amounts] = []
        self.refusals: list[Refusal] = []
        self.directory = worker_directory(pair.folder, number)
        self.core = WorkerCore(
            number, self.directory, self, boot_id=kit.BOOT, clock=lambda: pair.now, of=pair.of
        )  # fmt: skip
        self.link = Loopback(pair.server, self.core)

    def begin(self, epoch: int) -> None:
        self.tape = TapeWriter(
            self.directory, worker=self.number, epoch=epoch, boot_id=kit.BOOT, created_at=self.pair.now
        )
        self.spending = Spending(self.tape, lambda: self.pair.now, PEPPER)

    def apply_view(self, view: View) -> None:
        self.spending.apply_view(view)

    def apply_lease(self, lease: Lease) -> None:
        self.spending.apply_lease(lease)
        if self.spending.sized is not None:
            self.spending.sized.say = self.core.want

    def apply_delta(self, delta: Delta) -> object:
        return self.spending.apply_delta(delta)

    def lent(self, lent: Lent) -> None:
        unknown = self.spending.lent(lent)
        if unknown:
            self.spending.returned(unknown)

    def lacking(self, lacking: Lacking) -> None:
        self.sized.lacking(lacking)

    def ask_back(self, asked: AskBack) -> None:
        self.asked.append(asked)

    def told(self, amounts: Amounts) -> None:
        self.amounts.append(amounts)

    def claimed(self, claimed: Claimed) -> None:
        self.sized.claims.answered(claimed.answers)

    def unanswered(self) -> list[Want | Claim]:
        return self.sized.unanswered()

    def take_used(self, keys_max: int) -> list[int]:
        return []

    def ended(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    @property
    def sized(self) -> Any:
        assert self.spending.sized is not None
        return self.spending.sized

    def left(self, wallet_id: int) -> int:
        """What it may hold of a wallet at once."""
        return sum(lot.left_nanos for lot in self.spending.wallets[wallet_id].lots.values())

    def turn(self) -> bool:
        """One turn of its loop: woken calls, then what is asked back, then the tape. Whether anything was done."""
        woken, self.woken = self.woken, []
        for call, asked in woken:
            call.attempt(asked)
        asks, self.asked = self.asked, []
        for one in asks:
            self.spending.give_back_asked(one)
        block = self.tape.take_block()
        if block:
            self.tape.write(block, self.pair.now)
            self.core.report(block)
        return bool(woken or asks or block)

    def die(self) -> None:
        """Nothing more is said, and what is not on the tape is gone."""
        self.link.close()
        self.tape.close()


class Pair:
    """See the module. Use inside a running loop: the ledger waits with timers."""

    def __init__(self, folder: Path, of: int = 2, connection: Any = None, *, first: int = 0) -> None:
        self.first = first
        """The number of the first worker; nodes have theirs from 64 on."""
        self.now = kit.START
        self.folder = folder
        self.of = of
        self.connection = connection or kit.connect()
        self.ledger = kit.new_ledger(self.connection, lambda: self.now)
        learn_lives(self.ledger, folder)
        self.server = LedgerServer(self.ledger)
        self.numbers = 0
        for name, secret in SECRETS.items():
            self.do("key.create", member=name, name=name, secret_hash=key_hash(PEPPER, secret).hex(), shown_prefix="tr")
        self.workers = [Worker(self, first + place) for place in range(of)]
        self.talk()

    def do(self, command: str, /, **arguments: Any) -> dict[str, Any]:
        """A command that must succeed, told to the workers and not heard by them yet."""
        self.numbers += 1
        reply = self.server.answer(kit.Command(id=f"c{self.numbers}", name=command, arguments=arguments))
        assert reply.result is not None, reply.problem
        self.server.publish()
        return reply.result

    def talk(self) -> None:
        """Everything is said and heard until all are silent."""
        busy = True
        while busy:
            busy = sum(worker.turn() for worker in self.workers if hasattr(worker, "spending")) > 0
            for worker in self.workers:
                while worker.link.step():
                    busy = True
        for worker in self.workers:
            assert worker.core.halt is None, worker.core.halt

    def restart(self, number: int) -> None:
        """That worker died, and its next life begins."""
        self.workers[number].die()
        self.workers[number] = Worker(self, self.first + number)

    def call(
        self, worker: int, name: str = "Ada", *, talk: bool = True, call_id: bytes | None = None, **facts: Any
    ) -> Call:
        call = Call(self.workers[worker], name, make_facts(**facts), call_id)
        call.attempt()
        if talk:
            self.talk()
        return call

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return raw_connection(self.connection).execute(query).fetchall()

    def lent(self, worker: int, lot: int) -> int:
        found = self.rows(f"SELECT left_nanos FROM lot_leases WHERE worker = {self.first + worker} AND lot_id = {lot}")
        return found[0][0] if found else 0

    def prove(self) -> None:
        """The journal recomputed from empty says what is stored; what workers believe is what the ledger lent them."""
        self.talk()
        self.connection.rollback()
        verified = verify(self.connection, self.now)
        self.connection.rollback()
        assert verified.holds, [one.message for one in verified.differences]
        for worker in self.workers if self.of > 1 else ():
            for wallet in worker.spending.wallets.hot.values():
                for lot in wallet.lots.values():
                    assert max(0, lot.left_nanos) == self.lent(worker.number - self.first, lot.id), (
                        worker.number,
                        lot.id,
                    )
