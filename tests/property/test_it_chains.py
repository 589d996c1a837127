"""Law 8: what is in a batch can be proven, and nothing in it can be changed, moved or added unseen."""

from hypothesis import assume, given
from hypothesis import strategies as st

from tokenroll.engine import chaining

LEAVES = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


@given(leaves=LEAVES, data=st.data())
def test_every_leaf_is_proven_in_its_place_only(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = chaining.merkle_root(leaves), chaining.merkle_proof(leaves, index)
    for place in range(len(leaves)):
        shown = chaining.verify_proof(leaves[index], place, len(leaves), proof, root)
        assert shown == (place == index or (shown and leaves[place] == leaves[index]))
    assert chaining.verify_proof(leaves[index], index, len(leaves), proof, root)


@given(leaves=LEAVES, other=LEAVES)
def test_other_leaves_have_another_root(leaves, other):
    assume(leaves != other)
    assert chaining.merkle_root(leaves) != chaining.merkle_root(other)


@given(leaves=LEAVES)
def test_a_level_of_the_tree_cannot_pass_for_leaves(leaves):
    """A root over made-up leaves that spell the tree's own inner hashes is another root."""
    hashes = [chaining.leaf_hash(leaf) for leaf in leaves]
    joined = [b"".join(hashes[start : start + 16]) for start in range(0, len(hashes), 16)]
    assert chaining.merkle_root(joined) != chaining.merkle_root(leaves)


@given(closings=st.lists(st.integers(0, 2**60), min_size=2, max_size=5), data=st.data())
def test_one_changed_batch_changes_every_later_hash(closings, data):
    changed = data.draw(st.integers(0, len(closings) - 1))

    def hashes(times):
        found = [chaining.GENESIS_HASH]
        for number, closed_at in enumerate(times, 1):
            header = chaining.BatchHeader(
                number=number, previous_hash=found[-1], first_seq=number, last_seq=number, leaf_count=1,
                merkle_root=chaining.merkle_root([b"x"]), closed_at=closed_at,
            )  # fmt: skip
            found.append(chaining.batch_hash(header))
        return found[1:]

    bent = [at + 1 if place == changed else at for place, at in enumerate(closings)]
    same = [old == new for old, new in zip(hashes(closings), hashes(bent), strict=True)]
    assert same == [place < changed for place in range(len(closings))]
