import pytest

from tokenroll.model.entry import Account, Entry, EntryKind, Posting


def entry(*legs: tuple[Account, int]) -> Entry:
    return Entry(
        public_id="entry_00000000000000000000000000000001",
        kind=EntryKind.VEST,
        effective_at=0,
        recorded_at=0,
        postings=tuple(Posting(account=account, wallet_id=1, lot_id=1, nanos=nanos) for account, nanos in legs),
    )


def test_it_balances():
    vest = entry((Account.UNVESTED, -40), (Account.AVAILABLE, 40))
    assert [leg.nanos for leg in vest.postings] == [-40, 40]


def test_it_cannot_exist_out_of_balance():
    with pytest.raises(AssertionError, match="out of balance by -1 nanos"):
        entry((Account.UNVESTED, -40), (Account.AVAILABLE, 39))


def test_every_word_of_conservation_is_an_account():
    words = {
        "granted", "transferred_in", "overage", "unvested", "available", "leased", "held", "suspense", "spent",
        "breakage", "forfeited", "clawed_back", "voided", "transferred_out",
    }  # fmt: skip
    assert words <= {account.value for account in Account}
    assert {account.value for account in Account} - words == {
        "company_spent", "company_overage", "provider_variance", "opening_equity",
    }  # fmt: skip
