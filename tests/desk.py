"""A worker's desk for tests: Spending with leases, a tape in memory and a clock that tests move."""

from pathlib import Path
from typing import Any

from tests.cast import ADA_WALLET, CREDIT, POOL_WALLET, T0, make_card
from tokenroll.engine.rating import canonical_json, pinned
from tokenroll.model.rate_card import RateCard
from tokenroll.model.usage import METERS
from tokenroll.services.hot import Deployment, HotHold, HotKey
from tokenroll.services.keys import key_hash
from tokenroll.services.protocol import CardTerms, KeyTerms, Lease, LotTerms, View, WalletTerms
from tokenroll.services.spending import Spending
from tokenroll.store import tape as tapes
from tokenroll.store.attempt_record import HoldRecord, SettleRecord, parse_record
from tokenroll.store.tape import Finish, RecordType, TapeWriter, iter_records, split_blocks
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.openai import ChatCompletions

PEPPER = b"a pepper of thirty-two bytes....."[:32]
ADA_KEY, BO_KEY, NIGHTLY_KEY = b"tr-ada", b"tr-bo", b"tr-nightly"
CHAT = ChatCompletions()
SIM = Deployment("sim", "anthropic")


class MemoryDisk:
    """A disk that keeps what was written, and remembers each call."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced_bytes = 0
        self.calls: list[str] = []

    def open_append(self, path: Path) -> int:
        return 3

    def write(self, descriptor: int, data: bytes) -> None:
        self.calls.append("write")
        self.data += data

    def write_out(self, descriptor: int, size: int) -> None:
        self.calls.append("write out")

    def sync(self, descriptor: int) -> None:
        self.calls.append("sync")
        self.synced_bytes = len(self.data)

    def cut(self, path: Path, size: int) -> None:
        del self.data[size:]

    def sync_directory(self, path: Path) -> None:
        pass

    def close(self, descriptor: int) -> None:
        pass


def make_tape(directory: Path, disk: Any = None) -> TapeWriter:
    return TapeWriter(directory, worker=1, epoch=7, boot_id=bytes(16), created_at=T0, disk=disk or MemoryDisk())


def lot(lot_id: int, nanos: int, **changes: Any) -> LotTerms:
    facts: dict[str, Any] = {
        "id": lot_id, "priority": 100, "effective_at": T0, "expires_at": 0, "available_nanos": nanos, "classification": "tool",
    }  # fmt: skip
    return LotTerms(**facts | changes)


def wallet(*lots: LotTerms, **changes: Any) -> WalletTerms:
    facts: dict[str, Any] = {
        "id": ADA_WALLET, "public_id": "wallet_ada", "name": "Ada", "holder_kind": "member", "zone": "UTC",
        "lots": list(lots), "enforcement": "enforce", "cap_policy": "deny", "output_cap_tokens": 16_384,
        "overage_nanos_max": 0, "spent_nanos": 0, "held_nanos": 0, "suspense_nanos": 0,
    }  # fmt: skip
    return WalletTerms(**facts | changes)


def key(key_id: int, secret: bytes, wallet_id: int, **changes: Any) -> KeyTerms:
    facts: dict[str, Any] = {
        "id": key_id, "public_id": f"key_{key_id}", "secret_hash": key_hash(PEPPER, secret), "scope": "inference",
        "member_id": key_id, "member_public_id": f"member_{key_id}", "wallet_id": wallet_id, "pool_wallet_id": 0,
        "expires_at": 0, "revoked": False,
    }  # fmt: skip
    return KeyTerms(**facts | changes)


def card_terms(card: RateCard) -> CardTerms:
    made = pinned(card)
    return CardTerms(made.id, made.digest, canonical_json(made))


class Desk:
    """Spending, and short words for what tests do with it."""

    def __init__(
        self,
        directory: Path,
        *wallets: WalletTerms,
        cards: tuple[RateCard, ...] = (),
        keys: tuple[KeyTerms, ...] = (),
        settings: dict[str, str] | None = None,
        disk: Any = None,
    ) -> None:
        self.now = T0
        self._gives: list[tuple[int, int, int]] = []
        self.tape = make_tape(directory, disk)
        self.spending = Spending(self.tape, lambda: self.now, PEPPER)
        pool = POOL_WALLET if any(one.id == POOL_WALLET for one in wallets) else 0
        known = keys or tuple(
            key(index + 1, secret, one.id, pool_wallet_id=pool)
            for index, (secret, one) in enumerate(
                zip((ADA_KEY, BO_KEY, NIGHTLY_KEY), [one for one in wallets if one.id != POOL_WALLET], strict=False)
            )
        )
        cards = cards or (make_card(),)
        self.spending.apply_view(View(list(known), [card_terms(one) for one in cards], settings or {}, True))
        self.spending.apply_lease(Lease(list(wallets), 0, 0, True))

    def admit(self, facts: Facts | None = None, secret: bytes = ADA_KEY, **changes: Any) -> Any:
        options: dict[str, Any] = {"deployment": SIM, "may_wait": False}
        return self.spending.admit(self.key(secret), CHAT, facts or make_facts(), self.now, **options | changes)

    def dispatch(self, *holds: HotHold) -> None:
        self.spending.dispatched(list(holds), self.now)

    def settle(self, hold: HotHold, finish: Finish = Finish.COMPLETE, **counts: int) -> int:
        return self.spending.settle(hold, make_meter(**counts), self.now, 200, finish)

    def call(self, facts: Facts | None = None, secret: bytes = ADA_KEY, **counts: int) -> int:
        hold = self.admit(facts, secret)
        assert isinstance(hold, HotHold), hold
        self.dispatch(hold)
        return self.settle(hold, Finish.COMPLETE, **counts)

    def key(self, secret: bytes = ADA_KEY) -> HotKey:
        found = self.spending.key_for(secret, self.now)
        assert found is not None
        return found

    def available(self, wallet_id: int = ADA_WALLET) -> int:
        found = self.spending.wallets[wallet_id]
        found.look(self.now)
        return found.available_nanos

    def gives(self) -> list[tuple[int, int, int]]:
        """Everything given back of lots so far, as the tape has it: recall, lot, nanos."""
        for kind, record in self.records():
            if kind is RecordType.LEASE:
                self._gives += tapes.GIVE.iter_unpack(record[tapes.LEASE.size :])
        return list(self._gives)

    def records(self) -> list[tuple[RecordType, bytes]]:
        """Every record appended and not yet taken."""
        found = []
        while raw := self.tape.take_block():
            for block in split_blocks(raw):
                for kind, offset, length in iter_records(block.payload):
                    found.append((RecordType(kind), block.payload[offset : offset + length]))
        return found


def make_facts(**changes: Any) -> Facts:
    """One message of 1,000 bytes to `sonnet` with a cap of 100: it is bounded at (1,016 x 6 + 100 x 15) / 10^6 credits."""
    facts = Facts()
    facts.model = "sonnet"
    facts.input_bytes = 1_000
    facts.message_count = 1
    facts.output_cap_tokens = 100
    facts.cap_field = "max_tokens"
    for name, value in changes.items():
        setattr(facts, name, value)
    facts.beyond_bytes = (
        facts.fills_window or facts.image_count > 0 or facts.server_tool_uses_max > 0 or not facts.is_text
    )
    return facts


BOUND = 7_596_000
"""The bound of `make_facts()` on `make_card()` in nanos: 1,016 tokens at 6 credits a million (the dearest input), 100 at 15."""


def make_meter(**counts: int) -> Any:
    """A meter that saw a whole report with these counts by meter name."""
    meter = CHAT.meter(stream=False, withhold_usage=False)
    for index, name in enumerate(METERS):
        if name.value in counts:
            meter.counts[index] = counts[name.value]
    meter.saw_usage = True
    meter.complete = True
    return meter


def make_silent_meter(delivered_bytes: int = 0) -> Any:
    """A meter whose answer was cut before any usage came."""
    meter = CHAT.meter(stream=True, withhold_usage=True)
    meter.delivered_output_bytes = delivered_bytes
    return meter


def holds_on(records: list[tuple[RecordType, bytes]]) -> list[HoldRecord]:
    """What each hold among these records says."""
    return [parse_record(record).hold for kind, record in records if kind in tapes.HOLDS]


def last_settlement(records: list[tuple[RecordType, bytes]]) -> SettleRecord:
    """What the last of these records, a settlement, says; its hold is the newest among them."""
    held = [record for kind, record in records if kind in tapes.HOLDS]
    found = parse_record(held[-1] + records[-1][1]).settle
    assert found is not None
    return found


__all__ = [
    "ADA_KEY", "BOUND", "BO_KEY", "CHAT", "CREDIT", "NIGHTLY_KEY", "SIM", "Desk", "MemoryDisk", "card_terms", "holds_on",
    "key", "last_settlement", "lot", "make_facts", "make_meter", "make_silent_meter", "make_tape", "wallet",
]  # fmt: skip
