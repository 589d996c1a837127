"""Wallets and keys wait packed until somebody uses them: what comes out is what went in, whatever the ledger said meanwhile."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenroll.services.cold_terms import ColdKeys, Wallets
from tokenroll.services.hot import HotWallet
from tokenroll.services.keys import key_hash
from tokenroll.services.leases import Leases
from tokenroll.services.protocol import Delta, KeyTerms, Lease, LotChange, LotTerms, View, WalletTerms

ADA = WalletTerms(
    7, "wallet_01a21d881692cfb948be1f43b4c5bc9c", "Ada", "member", "Europe/Berlin", [LotTerms(3, 100, 10, 99, 500, "tool")],
    "enforce", "deny", 16_384, 0, 0, 0, 0,
)  # fmt: skip
KEY = KeyTerms(
    4,
    "key_01a21d88169263e68294d2a41fdf3b1f",
    b"s" * 32,
    "inference",
    5,
    "member_01a21d88169210bc1c551a67ca3fb03e",
    7,
    0,
    0,
    False,
)

amounts = st.integers(-(2**61), 2**61)
"""Twice what a row may hold, so that sums of three still fit."""
ids = st.one_of(st.from_regex(r"wallet_[0-9a-f]{32}", fullmatch=True), st.text(max_size=50))
lots = st.builds(
    LotTerms, st.integers(1, 2**62), amounts, amounts, amounts, amounts, st.sampled_from(["tool", "benefit"])
)
wallets = st.builds(
    WalletTerms, st.integers(1, 5_000), ids, st.text(max_size=20), st.sampled_from(["member", "pool"]), st.text(max_size=9),
    st.lists(lots, max_size=3, unique_by=lambda lot: lot.id), st.sampled_from(["enforce", "warn"]), st.just("deny"),
    st.integers(1, 9), amounts, amounts, amounts, amounts,
    st.lists(st.tuples(st.integers(0, 2), amounts), max_size=3), st.lists(st.text(max_size=3), max_size=2),
    day_used=st.one_of(st.just([]), st.lists(amounts, min_size=4, max_size=4)), purpose=st.text(max_size=4),
)  # fmt: skip


def state(wallet):
    """All that a wallet is, its lots taken apart."""
    found = {name: getattr(wallet, name) for name in HotWallet.__slots__ if name not in {"lots", "order"}}
    parts = {"wallet", "rank"}
    found["lots"] = [
        {name: getattr(lot, name) for name in type(lot).__slots__ if name not in parts} for lot in wallet.lots.values()
    ]
    return found


@given(st.lists(wallets, max_size=12, unique_by=lambda one: one.id))
def test_a_wallet_that_was_packed_is_the_wallet(leased):
    packed = Wallets()
    for terms in leased:
        packed.begin(terms)
    assert len(packed) == len(leased)
    for terms in leased:
        assert terms.id in packed
        assert packed._unpacked(terms.id) == terms
        assert state(packed[terms.id]) == state(HotWallet(terms))


@given(wallets, wallets, st.booleans())
def test_news_of_a_packed_wallet_are_those_of_one_in_use(first, news, known_before):
    news = replace(news, id=first.id, public_id=first.public_id)
    packed, used = Wallets(), HotWallet(first)
    packed.begin(first)
    if known_before:
        assert packed.get(first.id) is not None
    assert packed.renew(news) is False
    used.set_terms(news)
    found = packed[first.id]
    assert state(found) | {"next_change_at": 0} == state(used) | {"next_change_at": 0}


def test_a_wallet_of_which_nobody_was_told_is_none():
    packed = Wallets()
    assert (packed.get(7), 7 in packed, packed.has_lot(7, 3)) == (None, False, False)
    with pytest.raises(KeyError):
        packed[7]
    assert packed.renew(ADA) is True
    assert (packed[7].name, packed.has_lot(7, 3), packed.has_lot(7, 4)) == ("Ada", True, False)


def test_a_wallet_of_ten_thousand_lots_is_packed_like_others():
    many = replace(ADA, lots=[LotTerms(number, 100, number, 0, number, "tool") for number in range(1, 10_001)])
    packed = Wallets()
    packed.begin(many)
    packed.begin(replace(ADA, id=8))
    assert (len(packed[7].lots), packed[7].lots[10_000].left_nanos, packed[8].lots[3].left_nanos) == (
        10_000,
        10_000,
        500,
    )


def test_a_month_granted_to_all_leaves_them_packed():
    leases = Leases(b"pepper")
    leases.apply_lease(Lease([replace(ADA, id=number) for number in (7, 8, 9)], 0, 1, True))
    grown = LotTerms(20, 100, 10, 99, 40, "tool")
    news = [replace(ADA, id=number, lots=[], output_cap_tokens=50) for number in (7, 8)]
    changes = [LotChange(7, 20, 0, grown), LotChange(8, 21, 0, replace(grown, id=21))]
    assert leases.apply_delta(Delta(2, news, changes, [], [], {}))
    assert leases.wallets.hot == {}
    ada = leases.wallets[7]
    assert ({lot.id: lot.left_nanos for lot in ada.lots.values()}, ada.output_cap_tokens) == ({3: 500, 20: 40}, 50)
    assert leases.wallets[9].output_cap_tokens == 16_384


def test_suspense_that_comes_back_takes_its_wallet_out():
    leases = Leases(b"pepper")
    leases.apply_lease(Lease([replace(ADA, suspense_nanos=30)], 0, 1, True))
    assert leases.apply_delta(Delta(2, [], [LotChange(7, 3, 20, None, 10)], [], [], {}))
    ada = leases.wallets[7]
    assert (ada.lots[3].left_nanos, ada.suspense_nanos, ada.spent_nanos) == (520, 0, 10)


def test_keys_are_found_by_each_of_their_secrets_until_they_are_revoked():
    keys = ColdKeys()
    keys.put([KEY])
    assert keys.find(b"s" * 32) == KEY
    turned = replace(KEY, secret_hash=b"t" * 32, former_secrets=[(b"s" * 32, 99)], models=["gpt-4o*"])
    keys.put([turned])
    assert (keys.find(b"s" * 32), keys.find(b"t" * 32), len(keys)) == (turned, turned, 1)
    keys.put([replace(turned, former_secrets=[])])
    assert keys.find(b"s" * 32) is None
    keys.put([replace(turned, revoked=True)])
    assert (keys.find(b"t" * 32), len(keys)) == (None, 0)


def test_ten_thousand_keys_with_hashes_that_begin_alike():
    rng = random.Random(1)
    secrets = {number: rng.choice([b"\0" * 8, rng.randbytes(8)]) + rng.randbytes(24) for number in range(1, 10_001)}
    keys = ColdKeys()
    keys.put(replace(KEY, id=number, wallet_id=number, secret_hash=secret) for number, secret in secrets.items())
    keys.put(replace(KEY, id=number, secret_hash=secrets[number], revoked=True) for number in range(1, 5_000))
    found = {number: keys.find(secret) for number, secret in list(secrets.items())[::97]}
    assert {number for number, key in found.items() if key is not None} == {one for one in found if one >= 5_000}
    assert all(key is None or key.wallet_id == number for number, key in found.items())
    assert keys.find(b"\0" * 32) is None


def test_a_key_changed_a_thousand_times_fills_no_table():
    keys = ColdKeys()
    for number in range(1_000):
        keys.put([replace(KEY, secret_hash=number.to_bytes(32, "little"))])
    assert keys.find((999).to_bytes(32, "little")) == replace(KEY, secret_hash=(999).to_bytes(32, "little"))
    assert keys.find((998).to_bytes(32, "little")) is None


def test_a_worker_finds_a_packed_key_and_its_packed_wallet():
    leases = Leases(b"pepper")
    secret = key_hash(b"pepper", b"tr-1")
    leases.apply_view(View([replace(KEY, secret_hash=secret, expires_at=50)], [], {}, True))
    leases.apply_lease(Lease([ADA], 0, 1, True))
    key = leases.key_for(b"tr-1", 20)
    assert key is not None
    assert (key.wallet.name, key.public_id, key.expires_at) == ("Ada", KEY.public_id, 50)
    assert (leases.key_for(b"tr-1", 50), leases.key_for(b"tr-2", 20)) == (None, None)
