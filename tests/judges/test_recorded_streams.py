"""Streams that were recorded at Anthropic and come with its client: relayed byte for byte, and counted as that client counts them.

They are in the source distribution of the client, of the version that our lock names; nothing of them is kept here.
"""

from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types.beta import BetaUsage

from tests.e2e.edge_table import chunked
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, wallet_terms
from tests.judges import official
from tokenroll.model.usage import Meter

FOLDERS = ("tests/lib/streaming/fixtures/*.txt", "tests/fixtures/fable-fallback/*.sse")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def recordings():
    """The recorded bytes by name."""
    try:
        official.prepare()
    except official.SuitesUnavailableError as error:
        pytest.skip(f"the recordings cannot be had here: {error}")
    return {path.stem: path.read_bytes() for one in FOLDERS for path in sorted(official.ANTHROPIC.folder.glob(one))}


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    options = RigOptions(wallets=[wallet_terms(1, 100 * CREDIT)])
    with Rig(tmp_path_factory.mktemp("recorded"), options) as running:
        yield running


def served(rig: Rig, recording: bytes, size: int) -> tuple[bytes, BetaUsage | None]:
    """What a client of ours receives of it, and the usage that the official client reads out of that; the provider sends it in such pieces."""
    pieces = [recording[at : at + size] for at in range(0, len(recording), size)]
    rig.provider.scripts[b"a"] = [
        Exchange([HEAD, *(chunked(piece).removesuffix(b"0\r\n\r\n") for piece in pieces), b"0\r\n\r\n"])
    ]
    client = anthropic.Anthropic(base_url=f"http://127.0.0.1:{rig.port}", api_key="tr-ada", max_retries=0)
    asked: dict[str, Any] = {
        "model": "toy",
        "max_tokens": 1_000,
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
    }
    with client:
        raw = client.post("/v1/messages", body=asked, options={"headers": {"x-case": "a"}}, cast_to=httpx2.Response)
        received = raw.read()
        rig.provider.scripts[b"a"] = [Exchange([HEAD, chunked(received)])]
        asked.pop("stream")
        with client.beta.messages.stream(**asked, extra_headers={"x-case": "a"}) as stream:
            try:
                stream.until_done()
            except ValueError:  # one was recorded because its tool's arguments are no JSON, which the client refuses
                return received, None
            return received, stream.current_message_snapshot.usage


def counted(usage: BetaUsage) -> dict[str, int]:
    """The official client's counts by our meters: of several runs the sum."""
    runs: list[Any] = [*usage.iterations] if usage.iterations else [usage]
    hour = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    output, thinking = sum(one.output_tokens for one in runs), usage.output_tokens_details
    thought = thinking.thinking_tokens if thinking else 0
    found = {
        Meter.INPUT: sum(one.input_tokens for one in runs),
        Meter.CACHE_READ: sum(one.cache_read_input_tokens or 0 for one in runs),
        Meter.CACHE_WRITE_5M: (usage.cache_creation_input_tokens or 0)
        - hour,  # the end says the sum alone, and it is the later word
        Meter.CACHE_WRITE_1H: hour,
        Meter.OUTPUT: output - thought,
        Meter.REASONING: thought,
        Meter.WEB_SEARCH: usage.server_tool_use.web_search_requests if usage.server_tool_use else 0,
        Meter.REQUEST: 1,
    }
    return {meter.value: count for meter, count in found.items() if count}


def test_there_are_as_many_recordings_as_the_lock_s_version_brings(recordings):
    assert len(recordings) >= 19


@pytest.mark.parametrize("size", [1, 97, 1_000_000])
def test_each_is_relayed_byte_for_byte_and_counted_as_the_official_client_counts(rig, recordings, size):
    unlike = {}
    for name, recording in recordings.items():
        received, usage = served(rig, recording, size)
        ended = rig.ended()[1][-2:]
        assert received == recording, name
        wanted = counted(usage) if usage is not None else ended[0].counts
        if any(one.counts != wanted for one in ended):
            unlike[name] = (ended, wanted)
    assert unlike == {}
