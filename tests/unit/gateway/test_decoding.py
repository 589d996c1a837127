"""Compressed bodies: decoded in any pieces, stopped where they grow beyond the limit."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from tokenroll.gateway.decoding import DecodingError, decoder_for

TEXT = b'{"usage":{"prompt_tokens":213}}' * 40
RAW_DEFLATE = zlib.compressobj(wbits=-15)
CODED = {
    b"gzip": gzip.compress(TEXT),
    b"deflate": zlib.compress(TEXT),
    b"br": brotli.compress(TEXT),
    b"zstd": zstandard.compress(TEXT),
}


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_it_decodes_what_comes_in_pieces(coding, step):
    decoder = decoder_for(coding)
    data = CODED[coding]
    assert b"".join(decoder.feed(data[at : at + step]) for at in range(0, len(data), step)) == TEXT


def test_it_decodes_deflate_without_its_wrapper_and_gzip_members_in_a_row():
    raw = RAW_DEFLATE.compress(TEXT) + RAW_DEFLATE.flush()
    assert decoder_for(b"deflate").feed(raw) == TEXT
    assert decoder_for(b"gzip").feed(CODED[b"gzip"] * 2) == TEXT * 2


@pytest.mark.parametrize("coding", CODED)
def test_a_bomb_is_stopped(coding):
    zeros = bytes(20_000_000)
    bomb = {
        b"gzip": gzip.compress, b"deflate": zlib.compress, b"br": brotli.compress, b"zstd": zstandard.compress,
    }[coding](zeros)  # fmt: skip
    with pytest.raises(DecodingError, match="above the limit"):
        decoder_for(coding, 1_000_000).feed(bomb)


@pytest.mark.parametrize("coding", CODED)
def test_bytes_that_are_not_what_their_coding_says_are_named(coding):
    with pytest.raises(DecodingError):
        decoder_for(coding).feed(b"this is no such thing at all, is it?")


def test_unknown_and_stacked_codings_are_refused():
    for coding in (b"compress", b"gzip, br", b"aws-chunked"):
        with pytest.raises(DecodingError):
            decoder_for(coding)
    assert decoder_for(b"identity").feed(b"as it is") == b"as it is"


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_a_gzip_body_has_at_most_256_members_however_they_come(step):
    """Each costs a decoder of its own, and 400 kB hold 20,000 empty ones."""
    empty, full = gzip.compress(b""), CODED[b"gzip"]
    most = empty * 255 + full
    decoder = decoder_for(b"gzip")
    assert b"".join(decoder.feed(most[at : at + step]) for at in range(0, len(most), step)) == TEXT
    with pytest.raises(DecodingError, match="a body has at most 256 members"):
        decoder.feed(empty)


class Counting:
    """A member's decoder that counts what it is given."""

    fed_bytes = 0

    def __init__(self, window: int) -> None:
        self.machine = DECOMPRESSOR(window)

    def __getattr__(self, name: str):
        return getattr(self.machine, name)

    def decompress(self, data, most: int) -> bytes:
        Counting.fed_bytes += len(data)
        return self.machine.decompress(data, most)


DECOMPRESSOR = zlib.decompressobj


@pytest.mark.parametrize(
    "body", [gzip.compress(b"") * 200 + CODED[b"gzip"] * 50, gzip.compress(bytes(20_000_000), 1) * 2]
)
def test_what_is_not_read_yet_is_not_copied_for_each_member_and_step(monkeypatch, body):
    """zlib copies all it is given and does not read: 16 KiB at most for each member and each 256 KiB that come out."""
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    Counting.fed_bytes = 0
    out = len(decoder_for(b"gzip").feed(body))
    assert Counting.fed_bytes <= len(body) + 16 * 1024 * (250 + out // (256 * 1024))
