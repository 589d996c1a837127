"""The ledger's side of the world: a company made once by real commands, the ledger's process, the provider, and who gives commands."""

import functools
import logging
import random
import sqlite3
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from tests import ledger_kit as kit
from tests.desk import PEPPER
from tests.empty_ledger import sqlite_connection
from tests.postgresql_kit import Choice, empty_writer
from tests.simulator.ports import Loop, Wire
from tests.simulator.reference import MESSAGE_TOKENS, cost_of, must
from tokenroll.services.keys import key_hash
from tokenroll.services.ledger_server import LedgerServer
from tokenroll.services.protocol import Command, FrameReader, Ready, Refusal, Reply, encode
from tokenroll.services.restoring import learn_lives
from tokenroll.services.retention import delete_folded_segments
from tokenroll.store.database import close, connect_writer, raw_connection

if TYPE_CHECKING:
    from tests.simulator.gateway import Call, Worker
    from tests.simulator.universe import Universe

ADA, BO, NIGHTLY, POOL = 1, 2, 3, 4
NAMES = {ADA: "Ada", BO: "Bo", NIGHTLY: "Nightly", POOL: "Engineering pool"}
SECRETS = {1: (b"tr-ada-laptop", ADA), 2: (b"tr-ada-server", ADA), 3: (b"tr-bo", BO), 4: (b"tr-nightly", NIGHTLY)}
START = kit.START
CREDIT = kit.CREDIT
PLANS: dict[str, dict[str, Any]] = {
    "tools": {"kind": "stipend", "classification": "tool"},
    "short": {"kind": "stipend", "classification": "tool", "lifetime": "2d", "priority": 90},
    "vest": {
        "kind": "stipend", "classification": "tool", "lifetime": "6d",
        "vesting": {"kind": "periodic", "period": "1d", "occurrences": 4, "cliff_occurrences": 1},
    },
    "pay": {
        "kind": "signing_bonus", "classification": "compensation",
        "terms": {"transferable": True, "leaving": {"clawback": {"basis": "full", "months": 12}}},
    },
}  # fmt: skip

OVERAGES_NANOS = (20_000_000, 100_000_000, 300_000_000)
"""What plans may let the company carry above a wallet."""


def plan_name(name: str, overage_nanos: int) -> str:
    """The plan of that kind that lets the company carry so much above a wallet."""
    return f"{name} and {overage_nanos} nanos above" if overage_nanos else name


class Killed(Exception):  # noqa: N818 - what happened to the process
    """The ledger's process is gone. Not a BaseException: at such a one SQLAlchemy throws the connection away, and the rows with it."""


class Statements:
    """How many statements may still run before the ledger dies in the middle; module state, because sqlite3 makes the cursors."""

    left = -1
    is_killed = False

    @classmethod
    def count(cls) -> None:
        if cls.left == 0 or cls.is_killed:
            cls.is_killed = True
            raise Killed
        cls.left -= cls.left > 0

    @classmethod
    def spare(cls) -> None:
        cls.left, cls.is_killed = -1, False


class _Cursor(sqlite3.Cursor):
    def execute(self, *arguments: Any) -> Any:
        Statements.count()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        Statements.count()
        return super().executemany(*arguments)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)

    def execute(self, *arguments: Any) -> Any:
        Statements.count()
        return super().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        Statements.count()
        return super().executemany(*arguments)

    def commit(self) -> None:
        Statements.count()
        super().commit()


@functools.cache
def _image() -> Connection:
    """The company before its first grant."""
    connection, do = kit.founded()
    for name, terms in PLANS.items():
        for overage in (0, *OVERAGES_NANOS):
            called = plan_name(name, overage)
            do(
                f"plan {called}",
                "plan.create",
                name=called,
                amount_nanos=CREDIT,
                overage_nanos_max=overage or None,
                **terms,
            )
    for number, (secret, wallet) in SECRETS.items():
        hashed = key_hash(PEPPER, secret).hex()
        do(
            f"key {number}",
            "key.create",
            member=NAMES[wallet],
            name=f"key {number}",
            secret_hash=hashed,
            shown_prefix="tr-",
        )
    connection.rollback()
    return connection


@functools.cache
def _copied_name() -> str:
    connection = _image()
    name = connection.engine.url.database or ""
    close(connection)
    return name


@functools.cache
def _sqlite() -> Connection:
    return connect_writer(None, factory=_Connection)


def connect() -> Connection:
    """The company's rows in a database of this run alone; the run before it is gone."""
    logging.getLogger("tokenroll").setLevel(logging.CRITICAL)  # a ledger that is killed would tell each time
    if Choice.postgresql:
        return empty_writer(template=_copied_name())
    Statements.spare()
    connection = _sqlite()
    connection.rollback()
    sqlite_connection(_image()).backup(sqlite_connection(connection))
    return connection


class Provider:
    """Who serves the calls, and keeps a bill of its own as they reach it."""

    def __init__(self, world: "Universe") -> None:
        self.world = world
        self.bill: dict[str, dict[str, Any]] = {}
        self.hold_of: dict[str, int] = {}
        self.named: set[tuple[int, str]] = set()
        self.overrun = 0

    def may_send(self, worker: "Worker", client: tuple[int, str]) -> None:
        """A worker is about to send what a client named so: nobody has, at any worker."""
        is_new = client not in self.named or self.world.rates_were.may_lose_records
        must(is_new, "the client's %s is sent twice, now by worker %d", client, worker.number)

    def receives(self, call: "Call") -> None:
        """A request: from here on it costs, whatever becomes of the gateway. Its answer comes in parts."""
        world, rng, rates = self.world, self.world.rng, self.world.rates
        name = call.hold.call_id
        must(name not in self.hold_of, "%s was sent twice", name)
        if call.client is not None:
            self.may_send(call.worker, call.client)
            self.named.add(call.client)
        self.hold_of[name] = call.key
        input_bytes, cap = call.size
        call.tokens = rng.randint(0, input_bytes + MESSAGE_TOKENS), rng.randint(0, cap)
        if rng.random() < rates.overruns:
            call.tokens = 2 * (input_bytes + MESSAGE_TOKENS) + rng.randint(1, 100), cap + rng.randint(0, 50)
            self.overrun += max(0, cost_of(*call.tokens) - call.hold.bound_nanos)
        kind = "error" if rng.random() < rates.errors else "silence" if rng.random() < rates.silences else "whole"
        if kind != "error":
            self.bill[name] = {
                "call_id": name, "attempt": 1, "request_id": f"r{name[5:]}", "provider": "anthropic", "model": "sonnet",
                "service_tier": "standard", "at": world.agenda.now, "status": "complete",
                "usage": {"input": call.tokens[0], "output": call.tokens[1]}, "cost_nanos": cost_of(*call.tokens),
            }  # fmt: skip
        at = rng.expovariate(1) * rates.answer_micros / 1_000_000
        while kind != "error" and rng.random() < 0.3:
            call.worker.loop.call_later(at * rng.random(), call.answered, "part")
        call.worker.loop.call_later(at, call.answered, kind)


class InOrder(dict[Any, None]):
    """A set that is gone through in the order in which its members came, so that a seed stays one history."""

    def add(self, one: Any) -> None:
        """See set."""
        self[one] = None

    def discard(self, one: Any) -> None:
        """See set."""
        self.pop(one, None)


class LedgerProcess:
    """The ledger's process: from its start to its death; the rows outlive it."""

    def __init__(self, world: "Universe") -> None:
        self.world = world
        self.loop = Loop(world.agenda)
        self.loop.dies = world.kill_ledger
        self.wires: list[Wire] = []
        self.ledger = kit.new_ledger(world.connection, world.ledger_host.clock)
        learn_lives(self.ledger, world.folder)
        self.ledger.random_bits = world.ids.getrandbits  # a ledger that is started again makes no id a second time
        self._ready = self.ledger.ready
        self.ledger.ready = self.ready  # type: ignore[method-assign]
        self.server = LedgerServer(self.ledger)
        self.server.connections = InOrder()  # type: ignore[assignment]
        self.loop.call_later(world.rng.random() * world.rates.chores_every / 1_000_000, self.chores)

    def ready(self, message: Ready) -> Any:
        """The ledger's own, counted."""
        answer = self._ready(message)
        if not isinstance(answer, Refusal):
            readies = self.world.readies
            readies[message.worker] = readies.get(message.worker, 0) + 1
        return answer

    def chores(self) -> None:
        """What the ledger does by itself, as its server's loops do it."""
        self.ledger.housekeep()
        self.server.publish()
        delete_folded_segments(self.ledger, self.world.folder)
        self.ledger.roll_up()
        self.ledger.roll_up_usage()
        self.loop.call_later(self.world.rng.expovariate(1) * self.world.rates.chores_every / 1_000_000, self.chores)

    def die(self) -> None:
        """Nothing is committed any more, and nothing is said."""
        self.loop.is_dead = True
        for wire in self.wires:
            wire.ledger_died()


class Door:
    """Whoever gives commands: one at a time, again with the same id until there is an answer (law 7)."""

    def __init__(self, world: "Universe") -> None:
        self.world = world
        self.loop = Loop(world.agenda)
        self.wire: Wire | None = None
        self.asked: Command | None = None
        self.answers: dict[str, tuple[dict[str, Any] | None, str]] = {}
        self.done: list[tuple[Command, dict[str, Any]]] = []
        self.grants: list[str] = []
        self.keys: list[int] = []
        self.limits: list[str] = []
        self.differences: list[dict[str, Any]] = []
        """What reconciliations found; before the end a call on its way is one."""
        self._reader = FrameReader()
        self._number = 0

    def wish(self) -> None:
        """Now and then somebody wants something."""
        every = self.world.rates.commands_every
        if every:
            self.loop.call_later(self.world.rng.expovariate(1) * every / 1_000_000, self.wish)
            if self.asked is None:
                self.ask_drawn()

    def ask(self, name: str, /, **arguments: Any) -> None:
        """One command, until it is answered."""
        self._number += 1
        self.asked = Command(id=f"c{self._number}", name=name, arguments=arguments)
        self._say()

    def _say(self) -> None:
        if self.asked is None:
            return
        if self.wire is None:
            self.wire = self.world.dial(self, self.loop)
            self._reader = FrameReader()
        if self.wire is not None:
            self.wire.send(encode(self.asked))
        self.loop.call_later(3, self._again, self.asked)

    def _again(self, asked: Command) -> None:
        if self.asked is asked:
            self._say()

    def heard(self, wire: Wire, data: bytes) -> None:
        """Answers, of which the first stands."""
        if wire is not self.wire or self.world.rng.random() < self.world.rates.reply_losses:
            return
        for message in self._reader.feed(data):
            if isinstance(message, Reply):
                self._answered(message)

    def lost(self, wire: Wire) -> None:
        """The connection is gone."""
        if wire is self.wire:
            self.wire = None

    def _answered(self, reply: Reply) -> None:
        must(reply.problem_kind != "internal", "command %s failed: %s", reply.id, reply.problem)
        if reply.problem_kind == "storage":
            return
        said = (
            None
            if reply.result is None
            else {key: value for key, value in reply.result.items() if key not in {"delivery", "recalled"}}
        )
        answer = said, reply.problem_kind
        if said is not None:
            must(
                self.answers.setdefault(reply.id, answer) == answer,
                "command %s was answered %s, then %s",
                reply.id,
                self.answers[reply.id],
                answer,
            )
        if self.asked is None or reply.id != self.asked.id:
            return
        asked, self.asked = self.asked, None
        if said is not None:
            self.done.append((asked, said))
            self._learn(asked, said)

    def _learn(self, asked: Command, said: dict[str, Any]) -> None:
        if asked.name in {"grant.create", "grant.top_up"}:
            self.grants.append(said["grant"])
            must(said["amount_nanos"] == asked.arguments["amount_nanos"] == sum(one["amount_nanos"] for one in said["lots"]), "a grant of %s became %s", asked.arguments, said)  # fmt: skip
        elif asked.name == "limit.create":
            self.limits.append(said["name"])
        elif asked.name == "reconcile":
            self.differences += said["differences"]

    def _drawn(self) -> tuple[Any, ...]:
        rng: random.Random = self.world.rng
        return rng.choice(
            (self._grant, self._grant, self._take, self._move, self._bill, self._bill, self._limit, self._key)
        )()

    def ask_drawn(self) -> None:
        """Something, at once."""
        name, arguments = self._drawn()
        self.ask(name, **arguments)

    def _grant(self) -> tuple[str, dict[str, Any]]:
        rng = self.world.rng
        to = NAMES[rng.choice((ADA, ADA, BO, POOL, NIGHTLY))]
        amount = rng.choice((1, 30_000_000, 300_000_000, 3_000_000_000))
        plan = rng.choice(tuple(PLANS))
        if rng.random() < 0.4 and any(one.arguments.get("to") == to for one, _ in self.done):
            return "grant.top_up", {"to": to, "amount_nanos": amount}
        return "grant.create", {
            "to": to,
            "plan": plan_name("tools" if to == NAMES[POOL] else plan, self.world.overage_nanos),
            "amount_nanos": max(amount, 4),
        }

    def _take(self) -> tuple[str, dict[str, Any]]:
        if not self.grants:
            return self._grant()
        grant = self.world.rng.choice(self.grants)
        return self.world.rng.choice(("grant.void", "grant.clawback", "grant.forfeit")), {
            "grant": grant,
            "reason": "a mistake",
        }

    def _move(self) -> tuple[str, dict[str, Any]]:
        giver, taker = self.world.rng.sample(("Ada", "Bo"), 2)
        return "wallet.transfer", {"from": giver, "to": taker, "amount_nanos": self.world.rng.randint(1, 20_000_000)}

    def _bill(self) -> tuple[str, dict[str, Any]]:
        rows = list(self.world.provider.bill.values())
        return "reconcile", {
            "rows": self.world.rng.sample(rows, min(len(rows), 300) and self.world.rng.randint(0, min(len(rows), 300)))
        }

    def _limit(self) -> tuple[str, dict[str, Any]]:
        rng = self.world.rng
        if self.limits and rng.random() < 0.4:
            return "limit.remove", {"limit": self.limits.pop(rng.randrange(len(self.limits)))}
        counts_calls = rng.random() < 0.5
        whose = rng.choice(({"member": "Ada"}, {"member": "Bo"}, {}))
        return "limit.create", {
            "name": f"limit {self._number}", "window": rng.choice(("minute", "hour", "day")), "zone": "UTC", **whose,
            "measure": "calls" if counts_calls else "credits", "cap": rng.randint(1, 60) if counts_calls else rng.randint(1, 300_000_000),
        }  # fmt: skip

    def _key(self) -> tuple[str, dict[str, Any]]:
        rng = self.world.rng
        living = [number for number in self.world.keys if number not in self.keys]
        if len(living) > 3 and rng.random() < 0.5:
            self.keys.append(rng.choice(living))
            return "key.revoke", {"key": f"key {self.keys[-1]}"}
        number = len(self.world.keys) + 1
        wallet = rng.choice((ADA, BO))
        secret = b"tr-%d" % number
        self.world.keys[number] = (secret, wallet)
        return "key.create", {"member": NAMES[wallet], "name": f"key {number}", "secret_hash": key_hash(PEPPER, secret).hex(), "shown_prefix": "tr-"}  # fmt: skip


def rows_of(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    return list(raw_connection(connection).execute(query).fetchall())


def copied(connection: Connection) -> sqlite3.Connection:
    """The database as it is now, in memory."""
    connection.rollback()
    copy = sqlite3.connect(":memory:")
    sqlite_connection(connection).backup(copy)
    return copy
