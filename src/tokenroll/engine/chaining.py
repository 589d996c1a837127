"""Chaining: batches of the journal bound to one another by hashes (DESIGN §4 law 8).

A batch's leaves form a tree of arity 16 over sha256. A leaf is hashed with the prefix byte 00 and a node with 01, so that no
node can pass for a leaf. A level is cut into groups of 16 from the left, the last one may be shorter, and each group becomes
one node until one hash is left; a single leaf is its own root, and no leaf at all has the hash of the empty string. The
shape follows from the leaf count, which the batch's header holds. Arity 16 costs one node hash per 15 leaves, where a
binary tree costs one per leaf; proofs are longer and rarer.

Leaves hold opaque ids only, so erasing a person's name leaves the chain whole.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from tokenroll.model.instant import Instant

ARITY: Final = 16
HASH_BYTES: Final = 32
GENESIS_HASH: Final = bytes(HASH_BYTES)
"""The previous hash of the first batch."""
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
_HEADER: Final = struct.Struct(">16sQQQQq32s32s")
_HEADER_MAGIC: Final = b"tokenroll/batch1"

Proof: TypeAlias = tuple[tuple[bytes, ...], ...]
"""Per level from the leaves up: the hashes of the group without one's own, in order."""


def leaf_hash(leaf: bytes) -> bytes:
    """sha256 of 00 and the leaf's bytes."""
    return hashlib.sha256(_LEAF + leaf).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves' bytes (not their hashes), 32 bytes."""
    sha256, prefix = hashlib.sha256, _LEAF
    return root_of_hashes([sha256(prefix + leaf).digest() for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes that were computed as the leaves came."""
    if not hashes:
        return _EMPTY_ROOT
    level = hashes
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def merkle_proof(leaves: Sequence[bytes], index: int) -> Proof:
    """What shows, together with the leaf at `index`, that it is under the root. Raises IndexError."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    level: Sequence[bytes] = [leaf_hash(leaf) for leaf in leaves]
    proof: list[tuple[bytes, ...]] = []
    while len(level) > 1:
        start = index - index % ARITY
        group = level[start : start + ARITY]
        proof.append(tuple(group[: index - start]) + tuple(group[index - start + 1 :]))
        level = _parents(level)
        index //= ARITY
    return tuple(proof)


def verify_proof(leaf: bytes, index: int, leaf_count: int, proof: Proof, root: bytes) -> bool:
    """Whether the leaf is number `index` of the `leaf_count` leaves under `root`.

    Index and count fix the shape that the proof must have, so a proof shows a leaf's place as well as its presence.
    """
    if not 0 <= index < leaf_count:
        return False
    known, count = leaf_hash(leaf), leaf_count
    for siblings in proof:
        position = index % ARITY
        group_size = min(ARITY, count - (index - position))
        if count <= 1 or len(siblings) != group_size - 1 or any(len(one) != HASH_BYTES for one in siblings):
            return False
        group = (*siblings[:position], known, *siblings[position:])
        known = hashlib.sha256(_NODE + b"".join(group)).digest()
        index //= ARITY
        count = -(-count // ARITY)
    return count == 1 and known == root


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """One link of the chain: which records it holds, their root, and the batch before it.

    `first_seq` to `last_seq` are inclusive ledger sequence numbers; `closed_at` is when the batch was written.
    """

    number: int
    previous_hash: bytes
    first_seq: int
    last_seq: int
    leaf_count: int
    merkle_root: bytes
    closed_at: Instant

    def __post_init__(self) -> None:
        if len(self.previous_hash) != HASH_BYTES or len(self.merkle_root) != HASH_BYTES:
            raise ValueError(f"batch {self.number} has a hash that is not {HASH_BYTES} bytes long")
        if min(self.number, self.first_seq, self.last_seq, self.leaf_count) < 0:
            raise ValueError(f"batch {self.number} counts below zero")


def batch_hash(header: BatchHeader) -> bytes:
    """sha256 of 120 bytes, big-endian: a 16-byte name of this layout, then the header.

    In the order number, first_seq, last_seq, leaf_count, closed_at (8 bytes each), previous_hash, merkle_root (32 each). The
    layout never changes; another one would have another name.
    """
    packed = _HEADER.pack(
        _HEADER_MAGIC,
        header.number,
        header.first_seq,
        header.last_seq,
        header.leaf_count,
        header.closed_at,
        header.previous_hash,
        header.merkle_root,
    )
    return hashlib.sha256(packed).digest()


def _parents(level: Sequence[bytes]) -> list[bytes]:
    sha256, prefix, join = hashlib.sha256, _NODE, b"".join
    return [sha256(prefix + join(level[start : start + ARITY])).digest() for start in range(0, len(level), ARITY)]
