import pytest

from tokenroll.model.identifier import (
    HoldKey,
    IdentifierError,
    call_identifier,
    call_number,
    hold_key_from_call,
    identifier,
    identifier_checked,
)


def test_it_says_what_it_names_and_when():
    assert identifier("grant", 0x018CC251F400, 0xABC) == "grant_018cc251f40000000000000000000abc"


def test_it_sorts_by_age():
    assert identifier("lot", 1, 2**80 - 1) < identifier("lot", 2, 0)


def test_it_ignores_bits_that_do_not_fit():
    assert identifier("lot", 0, 2**80 + 1) == "lot_00000000000000000000000000000001"


@pytest.mark.parametrize("prefix", ["", "Grant", "banana"])
def test_it_has_a_known_prefix(prefix):
    with pytest.raises(IdentifierError, match="is not an identifier prefix"):
        identifier(prefix, 0, 0)


@pytest.mark.parametrize("text", ["grant_1", "lot_" + "0" * 32, "grant_" + "G" * 32, "grant_" + "0" * 32 + "\n", ""])
def test_it_is_checked_before_it_is_believed(text):
    with pytest.raises(IdentifierError, match="is not a grant id"):
        identifier_checked(text, "grant")


def test_a_call_carries_its_own_key():
    number = call_number(0x018CC251F400, HoldKey(worker=3, epoch=7, sequence=9))
    assert call_identifier(number) == "call_018cc251f40003000007000000000009"
    assert hold_key_from_call("call_018cc251f40003000007000000000009") == HoldKey(3, 7, 9)


def test_a_call_carries_the_largest_key_too():
    largest = HoldKey(worker=255, epoch=2**24 - 1, sequence=2**48 - 1)
    assert hold_key_from_call(call_identifier(call_number(2**48 - 1, largest))) == largest


@pytest.mark.parametrize(
    "key", [HoldKey(256, 1, 1), HoldKey(-1, 1, 1), HoldKey(0, 2**24, 1), HoldKey(0, -1, 1), HoldKey(0, 1, 2**48)]
)
def test_a_key_that_does_not_fit_is_not_cut_to_another_calls(key):
    with pytest.raises(IdentifierError, match="do not fit a call id"):
        call_number(0, key)


def test_a_call_of_somebody_else_is_none_of_ours():
    with pytest.raises(IdentifierError, match="is not a call id"):
        hold_key_from_call("chatcmpl-123")
