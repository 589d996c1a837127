"""Keyed hashes by which equal requests are known again within a pay cycle, and by nobody without the home's secret."""

import hashlib

from tests.firm import FEBRUARY, MARCH
from tokenroll.services.fingerprints import Fingerprints

SECRET = b"a pepper of thirty-two bytes....."[:32]
ADA, NIGHTLY = (b"1", b"sonnet"), (b"2", b"sonnet")
BODY = b'{"model":"sonnet","messages":[{"role":"user","content":"What is due?"}]}'


def test_the_same_request_of_a_key_has_the_same_fingerprint_also_at_another_worker():
    assert Fingerprints(SECRET).of(FEBRUARY, ADA, BODY) == Fingerprints(SECRET).of(FEBRUARY, ADA, BODY)


def test_another_request_another_key_another_cycle_or_another_home_has_another():
    ours = Fingerprints(SECRET)
    all_of_them = {
        ours.of(FEBRUARY, ADA, BODY),
        ours.of(FEBRUARY, ADA, BODY + b" "),
        ours.of(FEBRUARY, NIGHTLY, BODY),
        ours.of(MARCH, ADA, BODY),
        Fingerprints(bytes(32)).of(FEBRUARY, ADA, BODY),
    }
    assert len(all_of_them) == 5
    assert {len(one) for one in all_of_them} == {16}


def test_it_is_keyed_and_not_what_anybody_can_compute():
    """SHA-256 as anybody else computes it: behind a key that only the home's secret and the cycle give."""
    purpose = b"tokenroll fingerprints of one pay cycle\x001769904000000000"
    secret = hashlib.blake2b(purpose, key=SECRET, digest_size=32).digest()
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in (*ADA, BODY))
    assert Fingerprints(SECRET).of(FEBRUARY, ADA, BODY) == hashlib.sha256(secret + framed).digest()[:16]
    assert Fingerprints(SECRET).of(FEBRUARY, ADA, BODY) != hashlib.sha256(framed).digest()[:16]


def test_beginnings_are_equal_exactly_as_far_as_their_parts_are():
    def walk(*parts):
        chain, found = Fingerprints(SECRET).chain(FEBRUARY, ADA), []
        for part in parts:
            chain.add(part)
            found.append(chain.fingerprint())
        return found

    first = walk(b"tools", b"system", b"one", b"two")
    second = walk(b"tools", b"system", b"one", b"three", b"two")
    assert first[:3] == second[:3]
    assert not set(first[3:]) & set(second[3:])
    assert walk(b"tool", b"ssystem")[1] != first[1]
    assert walk(memoryview(b"tools")) == first[:1]
