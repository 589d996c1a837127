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
