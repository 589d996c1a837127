"""The table of edge_table.py, each row split at every byte, on real sockets: bytes and money are literals."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e import edge_table, rig
from tests.e2e.edge_table import BEHIND_ROW, REQUEST_ROWS, RESPONSE_ROWS, Row
from tests.e2e.rig import CREDIT, Exchange, Rig, RigOptions, key_terms, wallet_terms
from tokenroll.gateway.client import ClientConnection
from tokenroll.gateway.heads import HEAD_END, RequestReader

AT_ONCE = 8
Play = Callable[[Rig, list["Run"]], Coroutine[Any, Any, list[tuple["Run", bytes]]]]
_CALL = re.compile(rb"call_[0-9a-f]{32}")
_REFUSAL = re.compile(rb"refusal_[0-9a-f]{32}")
_CARD = re.compile(rb"rate-card: [0-9a-f]{16}")


class Run(NamedTuple):
    number: int
    row: Row
    request: list[bytes]
    answer: list[bytes]

    @property
    def case(self) -> bytes:
        return b"%06d" % self.number


def in_two(data: bytes, cut: int) -> list[bytes]:
    return [data[:cut], data[cut:]] if cut else [data]


def filled(data: bytes, number: int) -> bytes:
    return data.replace(b"KEY", b"tr-%06d" % number).replace(b"CASE", b"%06d" % number)


def runs_of(requests: list[Row], responses: list[Row]) -> list[Run]:
    runs: list[Run] = []
    for row in requests:
        size = len(filled(row.request, 0))
        runs += [Run(0, row, [b"%d" % cut], [row.answer]) for cut in range(size)]
    for row in responses:
        runs += [Run(0, row, [b"0"], in_two(row.answer, cut)) for cut in range(len(row.answer))]
    made = []
    for number, run in enumerate(runs, 1):
        request = in_two(filled(run.row.request, number), int(run.request[0]))
        made.append(Run(number, run.row, request, run.answer))
    return made


async def play(one: Rig, run: Run, gate: asyncio.Semaphore) -> tuple[Run, bytes]:
    async with gate:
        return run, await rig.raw_call(one.port, run.request)


async def play_all(one: Rig, runs: list[Run]) -> list[tuple[Run, bytes]]:
    gate = asyncio.Semaphore(AT_ONCE)
    return await asyncio.gather(*(play(one, run, gate) for run in runs))


async def play_one_by_one(one: Rig, runs: list[Run]) -> list[tuple[Run, bytes]]:
    """Each on a connection of its own: the next one begins when the gateway has closed the connection of the one before."""
    played: list[tuple[Run, bytes]] = []
    for run in runs:
        played.append((run, await rig.raw_call(one.port, run.request)))
        await rig.until(lambda: not one.provider.open)
    return played


def dechunked(data: bytes) -> bytes:
    body = data.partition(b"\r\n\r\n")[2]
    payload = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        payload += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return payload


def told(data: bytes, expected: bytes) -> bytes:
    """What came back, in the table's words."""
    data = _REFUSAL.sub(b"REFUSAL", _CARD.sub(b"rate-card: CARD", _CALL.sub(b"CALL", data)))
    if expected.startswith(b"DECHUNKED"):
        return b"DECHUNKED" + dechunked(data)
    if expected == b"NOT_JSON":
        return b"NOT_JSON" if data.startswith(b"HTTP/1.1 400 ") and b'"invalid_request_error"' in data else data
    if expected == b"NO_CARD":
        return b"NO_CARD" if data.startswith(b"HTTP/1.1 404 ") and b'"model_not_found"' in data else data
    return data


def money(ended: list[rig.Ended]) -> tuple[str, ...]:
    words = []
    for end in ended:
        if end.end == "settled":
            words.append(f"settled {end.charge_nanos} of {end.bound_nanos} {end.source}")
        else:
            words.append(f"{end.end} of {end.bound_nanos}")
    return tuple(words)


def differences(
    folder: Path, requests: list[Row], responses: list[Row], play_runs: Play = play_all
) -> tuple[int, list[str]]:
    """How many runs there were, and what differed from the table."""
    runs = runs_of(requests, responses)
    options = RigOptions(
        wallets=[wallet_terms(run.number, CREDIT) for run in runs],
        keys=[key_terms(run.number, run.number, b"tr-%06d" % run.number) for run in runs],
    )
    found: list[str] = []
    with Rig(folder, options) as one:
        one.provider.scripts = {run.case: [Exchange(run.answer, run.row.close)] for run in runs}
        played = one.call(play_runs(one, runs), 600)
        ended = one.ended()
        for run, data in played:
            row = run.row
            where = f"{row.name}, split at {len(run.request[0])}/{len(run.answer[0])}"
            got = told(data, row.client)
            if got != row.client:
                found.append(f"{where}: the client got {got!r}, not {row.client!r}")
            sent = b"".join(one.provider.received.get(run.case, []))
            sent = _CALL.sub(b"CALL", sent).replace(b":%d\r\n" % one.provider.port, b":PORT\r\n")
            if sent != row.sent.replace(b"CASE", run.case):
                found.append(f"{where}: the provider got {sent!r}, not {row.sent!r}")
            if money(ended.get(run.number, [])) != row.money:
                found.append(f"{where}: money {money(ended.get(run.number, []))}, not {row.money}")
    return len(runs), found


def report(found: list[str]) -> str:
    return f"{len(found)} differences, such as:\n" + "\n".join(found[:: max(1, len(found) // 12)][:14])


def test_the_table_is_not_a_toy():
    assert len(REQUEST_ROWS) + len(RESPONSE_ROWS) >= 60
    names = [("request", row.name) for row in REQUEST_ROWS] + [("response", row.name) for row in RESPONSE_ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.timeout(400)
def test_it_answers_requests_the_same_wherever_they_are_split(tmp_path):
    count, found = differences(tmp_path, REQUEST_ROWS, [])
    assert count > 10_000
    assert not found, report(found)


@pytest.mark.timeout(400)
def test_it_reads_answers_the_same_wherever_they_are_split(tmp_path):
    count, found = differences(tmp_path, [], RESPONSE_ROWS)
    assert count > 4_000
    assert not found, report(found)


def test_it_drops_a_connection_with_bytes_behind_the_answer_wherever_they_are_split(tmp_path):
    count, found = differences(tmp_path, [], [BEHIND_ROW], play_one_by_one)
    assert count == 245
    assert not found, report(found)


@pytest.mark.parametrize(
    "surplus", [b"what Ada was told", b"what Ada was told\r\n\r\n", b"{}\r\nHTTP/1.1 200 OK\r\n\r\n"]
)
def test_it_tells_nobody_what_comes_behind_the_answer_of_somebody_else(tmp_path, surplus):
    """Bo's call is under way on Ada's connection when more of her answer comes: it is not Bo's, and his money is looked into."""
    options = RigOptions(
        wallets=[wallet_terms(number, CREDIT) for number in (1, 2)],
        keys=[key_terms(number, number, b"tr-%06d" % number) for number in (1, 2)],
    )
    with Rig(tmp_path, options) as one:
        one.provider.scripts = {
            b"000001": [Exchange([edge_table.WHOLE, surplus], withheld_from=1)],
            b"000002": [Exchange([edge_table.WHOLE], withheld_from=0)],
        }
        ada = one.call(rig.raw_call(one.port, [filled(edge_table.CALL, 1)]))
        bo = one.call(surplus_then_answer(one, filled(edge_table.CALL, 2)))
        ended = one.ended()
    assert told(ada, edge_table.OK) == edge_table.OK
    assert bo.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"Ada" not in bo
    assert money(ended[1]) == edge_table.SETTLED
    assert money(ended[2]) == ("suspense of 410000",)


async def surplus_then_answer(one: Rig, request: bytes) -> bytes:
    """What a client gets whose call is with the provider when first the withheld surplus comes, then its own answer."""
    waiting = one.provider.waiting
    await rig.until(lambda: len(waiting) == 1)
    _, client = await one.loop.create_connection(lambda: rig.RawClient([request]), "127.0.0.1", one.port)
    await rig.until(lambda: len(waiting) == 2)
    assert one.provider.connections == 1
    one.provider.let_go()
    return await asyncio.wait_for(client.closed, 60)


def test_the_table_catches_a_head_that_is_taken_for_whole_in_one_read(tmp_path, monkeypatch):
    def only_this_read(self: ClientConnection, data: bytes) -> None:
        self._buffer.clear()
        self._read_requests(data)

    monkeypatch.setattr(ClientConnection, "_more_head", only_this_read)
    _, found = differences(tmp_path, REQUEST_ROWS[:1], [])
    assert len(found) > 100


def test_the_table_catches_two_framings_that_are_let_pass(tmp_path, monkeypatch):
    read = RequestReader.read

    def lenient(self: RequestReader, data: bytes):
        lines = data.removesuffix(HEAD_END).split(b"\r\n")
        kept = [line for line in lines if b"Transfer-Encoding" not in line]
        return read(self, b"\r\n".join(kept) + HEAD_END)

    row = next(row for row in REQUEST_ROWS if row.name == "content-length and transfer-encoding")
    closing = row._replace(
        request=row.request.replace(b"Content-Length", edge_table.CLOSE + b"Content-Length"), answer=edge_table.WHOLE
    )
    _, found = differences(tmp_path / "strict", [closing], [])
    assert not found, report(found)
    monkeypatch.setattr(RequestReader, "read", lenient)
    _, found = differences(tmp_path / "lenient", [closing], [])
    assert len(found) > 100
