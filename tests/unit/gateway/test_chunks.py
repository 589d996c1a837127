"""Chunked coding: read in any number of pieces, ended at the exact byte, refused where it is not what it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenroll.gateway.chunks import LAST_CHUNK, ChunkDecoder, ChunkError, chunk

WHOLE = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nx-late: 1\r\n\r\n"


def read(data: bytes, cut: int) -> tuple[bytes, int, bool]:
    decoder = ChunkDecoder()
    end = decoder.feed(data[:cut])
    if not decoder.done:
        end = cut + decoder.feed(data[cut:])
    return b"".join(decoder.pieces), end, decoder.done


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_it_reads_the_same_body_wherever_it_is_split(cut):
    assert read(WHOLE + b"POST", cut) == (b"hello world", 48, True)


def test_it_reads_a_body_that_comes_byte_by_byte():
    decoder = ChunkDecoder()
    for index in range(len(WHOLE)):
        assert not decoder.done
        decoder.feed(WHOLE[index : index + 1])
    assert decoder.done
    assert b"".join(decoder.pieces) == b"hello world"


@pytest.mark.parametrize(
    "bad",
    [
        b"x\r\n",
        b"5\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\r\n",
        b"5_0\r\n",
        b"1234567890abcdef0\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\rX",
        b"5\r\nhello\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 300 + b"\r\n",
        b"5;" + b"a" * 300,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nx: 1\n\r\n",
        b"0\r\nx y: 1\r\n\r\n",
        b"0\r\n" + b"x: " + b"y" * 9000 + b"\r\n\r\n",
        b"0\r\n" + b"x: " + b"y" * 9000,
    ],
)
def test_it_refuses_what_is_not_chunked_coding_however_it_is_split(bad):
    for cut in {1, len(bad) // 2, len(bad) - 1, len(bad)}:
        decoder = ChunkDecoder()
        with pytest.raises(ChunkError):  # noqa: PT012 - either half may be the one that shows it
            decoder.feed(bad[:cut])
            decoder.feed(bad[cut:])


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_it_tells_where_trailers_begin_so_that_none_is_relayed(cut):
    decoder = ChunkDecoder()
    relayed = b""
    for part in (WHOLE[:cut], WHOLE[cut:]):
        if part and not decoder.done:
            decoder.feed(part)
            relayed += part[: decoder.coding_end]
    assert relayed == b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\n"


def test_it_makes_no_chunk_of_nothing():
    assert chunk(b"") == b""
    assert chunk(b"hello world, hello") == b"12\r\nhello world, hello\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(1, 30), max_size=20))
def test_what_is_written_is_read_back(payloads, steps):
    data = b"".join(chunk(payload) for payload in payloads) + LAST_CHUNK
    decoder = ChunkDecoder()
    position = 0
    for step in [*steps, len(data)]:
        if decoder.done:
            break
        position += decoder.feed(data[position : position + step])
    assert decoder.done
    assert position == len(data)
    assert b"".join(decoder.pieces) == b"".join(payloads)


def test_it_takes_one_whole_chunk_at_a_glance_once_its_size_line_is_known():
    decoder = ChunkDecoder()
    decoder.feed(b"1f\r\n" + b"e" * 31 + b"\r\n")
    decoder.pieces.clear()
    assert decoder.one_chunk(b"1f\r\n" + b"f" * 31 + b"\r\n") == b"f" * 31
    assert decoder.feed(b"2\r\nhi\r\n" + LAST_CHUNK) == 12
    assert (decoder.pieces, decoder.done) == ([b"hi"], True)


@pytest.mark.parametrize(
    "other",
    [
        b"1f\r\n" + b"e" * 30 + b"\r\n",
        b"1f\r\n" + b"e" * 32 + b"\r\n",
        b"1f\r\n" + b"e" * 31 + b"\r\n0\r\n\r\n",
        b"1f\r\n" + b"e" * 31 + b"\n\n",
        b"1f\r\n" + b"e" * 31 + b"\r",
        b"1f\r\n",
        b"\r\n",
        b"0\r\n\r\n",
        b"",
    ],
)
def test_it_leaves_everything_else_to_the_exact_way(other):
    decoder = ChunkDecoder()
    decoder.feed(b"1f\r\n" + b"e" * 31 + b"\r\n")
    assert decoder.one_chunk(other) is None


def test_it_glances_at_no_chunk_while_another_is_unfinished():
    decoder = ChunkDecoder()
    decoder.feed(b"1f\r\n" + b"e" * 31 + b"\r\n1f\r\ne")
    assert decoder.one_chunk(b"1f\r\n" + b"e" * 31 + b"\r\n") is None
    broken = ChunkDecoder()
    broken.feed(b"1")
    assert broken.one_chunk(b"1f\r\n" + b"e" * 31 + b"\r\n") is None
