"""Wallets and keys that nobody has used yet, packed: a worker is told of a million and uses few of them.

As objects a wallet and its key take four kilobytes; packed, what is their own is some eighty bytes each, and what many have in common
(a plan's terms, a department) is kept once. A wallet is unpacked at its first use and stays so, a key at each search for it.
Ids are dense, so places lie in arrays indexed by them; secrets are found in a table of ids that is probed from the secret's own
first bytes, for these are a keyed hash and as good as random.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from tokenroll.services.clock import Clock
from tokenroll.services.hot import HotWallet, Lessees, carried_at
from tokenroll.services.protocol import KeyTerms, LotTerms, WalletTerms

_OWN_OF_WALLETS: Final = (
    "id", "public_id", "name", "lots", "overage_nanos_max", "spent_nanos", "held_nanos", "suspense_nanos", "carried", "day_used",
)  # fmt: skip
_OWN_OF_KEYS: Final = (
    "id", "public_id", "secret_hash", "member_id", "member_public_id", "wallet_id", "expires_at", "former_secrets",
)  # fmt: skip
_OFFSET_BITS: Final = 24
"""Of a place: how far into its chunk. A chunk is full before that."""
_CHUNK_BYTES: Final = 1 << 20
_LENGTH_BYTES: Final = 3
"""Of a row's length: a wallet of ten thousand lots is 200 kB."""
_HASH_BYTES: Final = 8
_SECRET_PLACE: Final = 2
"""In the row of a key."""
_FULL_SHARE: Final = 0.6
"""A fuller table of secrets is made anew, twice as large as its keys need."""
_UNPACK: Final = msgspec.msgpack.Decoder()
_PACK: Final = msgspec.msgpack.Encoder().encode


class _Shared:
    """Parts that many rows have in common, each kept once and named by a number."""

    __slots__ = ("_numbers", "values")

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self.values: list[Any] = []

    def number(self, value: Any) -> int:
        """Which one it is."""
        packed = _PACK(value)
        known = self._numbers.get(packed)
        if known is None:
            known = self._numbers[packed] = len(self.values)
            self.values.append(value)
        return known


class _Rows:
    """Packed rows by id. What is forgotten keeps its bytes: it is little, and a worker begins anew before it is much."""

    __slots__ = ("_chunks", "_last", "count", "places")

    def __init__(self) -> None:
        self._chunks: list[bytes | bytearray] = [b"\0"]
        self._last = bytearray()
        self.places = array("Q")
        self.count = 0

    def put(self, row_id: int, packed: bytes) -> None:
        """A row; one of the same id is forgotten."""
        if row_id >= len(self.places):
            self.places.frombytes(bytes(8 * max(row_id + 1 - len(self.places), len(self.places) // 8)))
        if self.places[row_id] == 0:
            self.count += 1
        if len(self._last) + len(packed) > _CHUNK_BYTES or not self._last:
            self._seal()
        last = self._last
        self.places[row_id] = len(self._chunks) - 1 << _OFFSET_BITS | len(last)
        last += packed

    def _seal(self) -> None:
        """The last chunk takes no more, and no more room than it has."""
        if self._last:
            self._chunks[-1] = bytes(self._last)
        self._last = bytearray()
        self._chunks.append(self._last)

    def find(self, row_id: int) -> Any:
        """The row's values, None when there is none."""
        if not self.has(row_id):
            return None
        place = self.places[row_id]
        offset = place & (1 << _OFFSET_BITS) - 1
        chunk = self._chunks[place >> _OFFSET_BITS]
        start = offset + _LENGTH_BYTES
        length = int.from_bytes(chunk[offset:start], "little")
        return _UNPACK.decode(chunk[start : start + length])

    def has(self, row_id: int) -> bool:
        """Whether there is a row of that id."""
        return 0 < row_id < len(self.places) and self.places[row_id] != 0

    def forget(self, row_id: int) -> None:
        """There is no row of that id."""
        if self.has(row_id):
            self.places[row_id] = 0
            self.count -= 1


def _row(values: list[Any]) -> bytes:
    packed = _PACK(values)
    return len(packed).to_bytes(_LENGTH_BYTES, "little") + packed


def _short(public_id: str, prefix: str) -> str | bytes:
    """A public id's own sixteen bytes; itself, when it is no such id."""
    text = public_id[len(prefix) :]
    if len(text) == 32 and public_id.startswith(prefix):
        try:
            own = bytes.fromhex(text)
        except ValueError:
            return public_id
        if own.hex() == text:
            return own
    return public_id


def _long(own: str | bytes, prefix: str) -> str:
    return own if isinstance(own, str) else prefix + own.hex()


class Wallets:
    """A worker's wallets by id: those in use as objects, the rest packed. Reads like a dictionary; `hot` are those in use."""

    __slots__ = ("_lots", "_rows", "_shared", "_shared_names", "hot", "lent_at", "lessees")

    def __init__(self) -> None:
        self.hot: dict[int, HotWallet] = {}
        self.lent_at: Clock | None = None
        """Of a sized lease, the worker's clock: what lots have is the ledger's until it is lent."""
        self.lessees = Lessees()
        self._rows = _Rows()
        self._shared, self._lots = _Shared(), _Shared()
        self._shared_names = [one for one in WalletTerms.__struct_fields__ if one not in _OWN_OF_WALLETS]

    def get(self, wallet_id: int) -> HotWallet | None:
        """The wallet, in use from now on; None for one that is not leased here."""
        known = self.hot.get(wallet_id)
        if known is None:
            terms = self._unpacked(wallet_id)
            if terms is not None:
                known = self.hot[wallet_id] = HotWallet(terms, self.lessees)
                self._rows.forget(wallet_id)
                if self.lent_at is not None:  # what calls hold of it they hold at other workers
                    known.held_elsewhere_nanos, known.held_nanos = known.held_nanos, 0
                    known.lend_nothing(known.lots.values(), self.lent_at())
        return known

    def __getitem__(self, wallet_id: int) -> HotWallet:
        found = self.get(wallet_id)
        if found is None:
            raise KeyError(wallet_id)
        return found

    def __contains__(self, wallet_id: int) -> bool:
        return wallet_id in self.hot or self._rows.has(wallet_id)

    def __len__(self) -> int:
        return len(self.hot) + self._rows.count

    def begin(self, terms: WalletTerms) -> None:
        """A wallet as it is leased, whatever was known of it."""
        self.hot.pop(terms.id, None)
        self._pack(terms)

    def renew(self, terms: WalletTerms) -> bool:
        """The newest terms of a wallet; its lots and sums stay what they are here. Whether it was unknown."""
        hot = self.hot.get(terms.id)
        if hot is not None:
            hot.set_terms(terms)
            return False
        cold = self._unpacked(terms.id)
        if cold is None:
            self._pack(terms)
            return True
        worker = self.lessees.worker  # what it carried is known better here, as HotWallet.set_terms says
        own_nanos = carried_at(cold, worker)
        others = [(number, nanos) for number, nanos in terms.carried if number != worker]
        known = {lot.id for lot in cold.lots}
        self._pack(
            msgspec.structs.replace(
                terms, lots=[*cold.lots, *(lot for lot in terms.lots if lot.id not in known)],
                spent_nanos=cold.spent_nanos, held_nanos=cold.held_nanos, suspense_nanos=cold.suspense_nanos,
                carried=[*others, (worker, own_nanos)] if own_nanos else others,
            )
        )  # fmt: skip
        return False

    def add_lot(self, wallet_id: int, lot: LotTerms) -> None:
        """A new lot of a wallet that is leased here; one that is known stays as it is."""
        hot = self.hot.get(wallet_id)
        cold = None if hot is not None else self._unpacked(wallet_id)
        if cold is None:
            wallet = self[wallet_id]
            is_new = lot.id not in wallet.lots
            wallet.add_lot(lot)
            if is_new and self.lent_at is not None:
                wallet.lend_nothing([wallet.lots[lot.id]], self.lent_at())
        elif all(one.id != lot.id for one in cold.lots):
            self._pack(msgspec.structs.replace(cold, lots=[*cold.lots, lot]))

    def carry(self, wallet_id: int, nanos: int) -> None:
        """The company carries so much more of a wallet's calls here, or less."""
        hot = self.hot.get(wallet_id)
        if hot is not None:
            hot.carried_nanos += nanos
            hot.overage_left_nanos -= nanos
            return
        cold = self._unpacked(wallet_id)
        if cold is not None:
            self._pack(msgspec.structs.replace(cold, carried=[*cold.carried, (self.lessees.worker, nanos)]))

    def has_lot(self, wallet_id: int, lot_id: int) -> bool:
        """Whether a wallet that is leased here has that lot."""
        hot = self.hot.get(wallet_id)
        if hot is not None:
            return lot_id in hot.lots
        cold = self._unpacked(wallet_id)
        return cold is not None and any(lot.id == lot_id for lot in cold.lots)

    def _pack(self, terms: WalletTerms) -> None:
        shared = self._shared.number([getattr(terms, name) for name in self._shared_names])
        values: list[Any] = [shared, _short(terms.public_id, "wallet_"), terms.name]
        lots: list[int] = []
        for lot in terms.lots:
            kind = self._lots.number([lot.priority, lot.effective_at, lot.expires_at, lot.classification])
            lots += (lot.id, kind, lot.available_nanos)
        values.append(lots)
        sums = (
            terms.overage_nanos_max, terms.spent_nanos, terms.held_nanos, terms.suspense_nanos, terms.carried, terms.day_used,
        )  # fmt: skip
        if any(sums):
            values += sums
        self._rows.put(terms.id, _row(values))

    def _unpacked(self, wallet_id: int) -> WalletTerms | None:
        values = self._rows.find(wallet_id)
        if values is None:
            return None
        shared, public_id, name, lots, *sums = values
        overage, spent, held, suspense, carried, day_used = sums or (0, 0, 0, 0, [], [])
        kinds = self._lots.values
        return WalletTerms(
            id=wallet_id, public_id=_long(public_id, "wallet_"), name=name, lots=list(_lots(lots, kinds)),
            overage_nanos_max=overage, spent_nanos=spent, held_nanos=held, suspense_nanos=suspense,
            carried=[(worker, nanos) for worker, nanos in carried], day_used=day_used,  # compiled code takes no lists for pairs
            **dict(zip(self._shared_names, self._shared.values[shared], strict=True)),
        )  # fmt: skip


def _lots(flat: list[int], kinds: list[Any]) -> Iterator[LotTerms]:
    items = iter(flat)
    for lot_id, kind, available_nanos in zip(items, items, items, strict=True):
        priority, effective_at, expires_at, classification = kinds[kind]
        yield LotTerms(lot_id, priority, effective_at, expires_at, available_nanos, classification)


class ColdKeys:
    """Every key that a worker was told of, by the hashes of its secrets. Revoked ones are not in it."""

    __slots__ = ("_former", "_of_former", "_rows", "_shared", "_shared_names", "_table", "_taken")

    def __init__(self) -> None:
        self._rows = _Rows()
        self._shared = _Shared()
        self._shared_names = [one for one in KeyTerms.__struct_fields__ if one not in _OWN_OF_KEYS]
        self._table = array("I", bytes(4 * 16))
        self._taken = 0
        self._former: dict[int, list[bytes]] = {}
        self._of_former: dict[bytes, int] = {}
        """Replaced secrets that still work are few: by secret, its key."""

    def __len__(self) -> int:
        return self._rows.count

    def put(self, keys: Iterable[KeyTerms]) -> None:
        """Keys as they are now; a revoked one is forgotten."""
        for terms in keys:
            self._forget(terms.id)
            if terms.revoked:
                continue
            shared = self._shared.number([getattr(terms, name) for name in self._shared_names])
            self._rows.put(
                terms.id,
                _row(
                    [
                        shared, _short(terms.public_id, "key_"), terms.secret_hash, terms.member_id, _short(terms.member_public_id, "member_"),
                        terms.wallet_id, terms.expires_at, terms.former_secrets,
                    ]
                ),
            )  # fmt: skip
            self._place(terms.id, terms.secret_hash)
            if terms.former_secrets:
                self._former[terms.id] = [secret for secret, _ in terms.former_secrets]
                self._of_former.update(dict.fromkeys(self._former[terms.id], terms.id))

    def find(self, secret: bytes) -> KeyTerms | None:
        """The key that this is the hash of a secret of."""
        former = self._of_former.get(secret)
        if former is not None:
            return self._unpacked(former)
        table = self._table
        mask = len(table) - 1
        at = int.from_bytes(secret[:_HASH_BYTES], "little") & mask
        while (key_id := table[at]) != 0:
            values = self._rows.find(key_id)
            if values is not None and values[_SECRET_PLACE] == secret:
                return self._unpacked(key_id)
            at = at + 1 & mask
        return None

    def _forget(self, key_id: int) -> None:
        self._rows.forget(key_id)
        for secret in self._former.pop(key_id, ()):
            del self._of_former[secret]

    def _place(self, key_id: int, secret: bytes) -> None:
        """The id in the table where a search for the secret meets it. A key that changes its secret leaves its old place filled."""
        if self._taken >= _FULL_SHARE * len(self._table):
            self._make_table()
            return  # with this key, whose row is there
        table = self._table
        mask = len(table) - 1
        at = int.from_bytes(secret[:_HASH_BYTES], "little") & mask
        while table[at] not in {0, key_id}:
            at = at + 1 & mask
        self._taken += table[at] == 0
        table[at] = key_id

    def _make_table(self) -> None:
        size = 16
        while size * _FULL_SHARE < 2 * self._rows.count:
            size *= 2
        self._table = array("I", bytes(4 * size))
        self._taken = 0
        for key_id, place in enumerate(self._rows.places):
            if place:
                self._place(key_id, self._rows.find(key_id)[_SECRET_PLACE])

    def _unpacked(self, key_id: int) -> KeyTerms | None:
        values = self._rows.find(key_id)
        if values is None:
            return None
        shared, public_id, secret_hash, member_id, member_public_id, wallet_id, expires_at, former = values
        return KeyTerms(
            id=key_id, public_id=_long(public_id, "key_"), secret_hash=secret_hash, member_id=member_id,
            member_public_id=_long(member_public_id, "member_"), wallet_id=wallet_id, expires_at=expires_at,
            former_secrets=[(secret, until) for secret, until in former],
            **dict(zip(self._shared_names, self._shared.values[shared], strict=True)),
        )  # fmt: skip
