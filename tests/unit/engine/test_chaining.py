from dataclasses import replace
from hashlib import sha256

import pytest

from tokenroll.engine.chaining import (
    GENESIS_HASH,
    BatchHeader,
    batch_hash,
    leaf_hash,
    merkle_proof,
    merkle_root,
    root_of_hashes,
    verify_proof,
)


def leaves(count):
    return [b"leaf %d" % number for number in range(count)]


def node(*hashes):
    return sha256(b"\x01" + b"".join(hashes)).digest()


def test_nothing_has_the_hash_of_the_empty_string():
    assert merkle_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_leaf_is_hashed_as_a_leaf_and_is_its_own_root():
    # printf '\0a' | sha256sum
    assert leaf_hash(b"a").hex() == "022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c"
    assert merkle_root([b"a"]) == leaf_hash(b"a")


def test_sixteen_leaves_are_one_node():
    assert merkle_root(leaves(16)) == node(*map(leaf_hash, leaves(16)))


def test_seventeen_leaves_are_two_nodes_under_one():
    hashes = [leaf_hash(leaf) for leaf in leaves(17)]
    assert merkle_root(leaves(17)) == node(node(*hashes[:16]), node(hashes[16]))


def test_hashes_kept_as_leaves_came_give_the_same_root():
    assert root_of_hashes([leaf_hash(leaf) for leaf in leaves(300)]) == merkle_root(leaves(300))


def test_a_node_cannot_pass_for_a_leaf():
    joined = b"".join(map(leaf_hash, leaves(16)))
    assert merkle_root([joined]) != merkle_root(leaves(16))


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 256, 257, 300])
def test_every_leaf_can_be_proven(count):
    all_leaves, root = leaves(count), merkle_root(leaves(count))
    for index in {0, count // 2, count - 1}:
        proof = merkle_proof(all_leaves, index)
        assert verify_proof(all_leaves[index], index, count, proof, root)


def test_a_proof_shows_one_leaf_in_one_place():
    root, proof = merkle_root(leaves(300)), merkle_proof(leaves(300), 250)
    assert not verify_proof(b"leaf 251", 250, 300, proof, root)
    assert not verify_proof(b"leaf 250", 251, 300, proof, root)
    assert not verify_proof(b"leaf 250", 250, 200, proof, root)
    assert not verify_proof(b"leaf 250", 250, 250, proof, root)
    assert not verify_proof(b"leaf 250", -1, 300, proof, root)
    assert not verify_proof(b"leaf 250", 250, 300, proof[:-1], root)
    assert not verify_proof(b"leaf 250", 250, 300, (*proof, ()), root)
    assert not verify_proof(b"leaf 250", 250, 300, (proof[0][:-1], *proof[1:]), root)
    assert not verify_proof(b"leaf 250", 250, 300, proof, bytes(32))


def test_siblings_of_another_length_prove_nothing():
    root, ((sibling,),) = merkle_root(leaves(2)), merkle_proof(leaves(2), 0)
    assert verify_proof(b"leaf 0", 0, 2, ((sibling,),), root)
    assert not verify_proof(b"leaf 0", 0, 2, ((sibling + b"x",),), root)


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_proof_of_what_is_not_there(index):
    with pytest.raises(IndexError, match="among 3"):
        merkle_proof(leaves(3), index)


HEADER = BatchHeader(
    number=1,
    previous_hash=GENESIS_HASH,
    first_seq=1,
    last_seq=2,
    leaf_count=2,
    merkle_root=bytes(range(32)),
    closed_at=1_704_067_200_000_000,
)


def test_a_batch_is_hashed_in_a_fixed_layout():
    # sha256sum of the 120 bytes, written out by hand
    assert batch_hash(HEADER).hex() == "2b1bc88f91fca1059e9ee45679eb66ba1f8c51656af258c6831c26b2bc8dadae"


@pytest.mark.parametrize(
    "changes",
    [{"number": 2}, {"previous_hash": bytes(31) + b"\x01"}, {"first_seq": 0}, {"last_seq": 3}, {"leaf_count": 3},
     {"merkle_root": bytes(32)}, {"closed_at": 1_704_067_200_000_001}],
)  # fmt: skip
def test_a_batch_hash_covers_every_field(changes):
    assert batch_hash(replace(HEADER, **changes)) != batch_hash(HEADER)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"previous_hash": b""}, "32 bytes"), ({"merkle_root": bytes(33)}, "32 bytes"), ({"number": -1}, "below zero")],
)
def test_a_header_is_valid_at_birth(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(HEADER, **changes)
