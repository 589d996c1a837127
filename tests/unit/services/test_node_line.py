"""Gateways on other machines come to the ledger over TLS: who they are stands in their certificate, and they have no more rights than it gives."""

import asyncio
import socket
import ssl
import struct

import pytest
from cryptography import x509

from tests.ledger_kit import (
    ADA_LOT,
    BOOT,
    CREDIT,
    Command,
    Hello,
    Kit,
    Ready,
    Report,
    dispatched_record,
    hold_record,
    settle_record,
)
from tests.line_kit import WORKER, Authority, Cable, Line, RawPeer, until
from tokenroll.model import limits
from tokenroll.services import node_door
from tokenroll.services.ledger_route import TlsRoute
from tokenroll.services.node_line import LEDGER_NAME, LineError, ledger_context, node_context, peer_of
from tokenroll.services.protocol import Alive, Applied, KeysUsed, Refusal, Resign, Status, Welcome
from tokenroll.services.sized_lease import WhenCutOff
from tokenroll.settings import ALLOW_CREDITS_MAX, NODE_LEASE_SECONDS, NODE_WORKERS, WHEN_CUT_OFF
from tokenroll.store.attempt_record import WORKER_MAX


def play(story):
    asyncio.run(story())


async def peer(line, files):
    """A connection with that certificate, of somebody who says what a test wants."""
    loop = asyncio.get_running_loop()
    context = node_context(files)
    _, one = await loop.create_connection(RawPeer, "127.0.0.1", line.port, ssl=context, server_hostname=LEDGER_NAME)
    return one


def hello(worker=WORKER, **facts):
    return Hello(**{"version": 2, "worker": worker, "epoch": 0, "boot_id": BOOT, "last_delta": 0} | facts)


def test_a_node_is_leased_told_and_folded_as_a_worker_beside_the_ledger(tmp_path):
    async def story():
        async with Line(tmp_path) as line:
            core, events, link = line.worker(line.authority.node())
            await until(lambda: core.spending)
            assert events.lots[ADA_LOT] == 40 * CREDIT
            top_up = Command(id="t", name="grant.top_up", arguments={"to": "Ada", "amount_nanos": 5})
            line.server.answer(top_up)
            line.server.publish()
            await until(lambda: "delta" in events.heard[-1])
            assert line.server.answer(top_up).result["delivery"] == "applied"
            core.report(events.write(hold_record(1, (ADA_LOT, 1000)), dispatched_record(1), settle_record(1, 0, 0)))
            assert await link.drained(5)
            assert line.ledger.folded_sequence(WORKER, 1) == 3
            assert line.told == []

    play(story)


# ---- who is refused ----------------------------------------------------------------------------------


def of_another_authority(line):
    theirs = Authority(line.folder).node()
    return type(theirs)(
        ca_file=line.authority.ca_file, certificate_file=theirs.certificate_file, key_file=theirs.key_file
    )


UNTAKEN = {
    "of another authority": (of_another_authority, "it is of another authority than the ledger's"),
    "expired": (lambda line: line.authority.node(days=-1), "it has expired"),
    "for a ledger": (lambda line: line.authority.ledger(), "it is not for a node"),
}


@pytest.mark.parametrize("case", UNTAKEN)
def test_a_certificate_that_is_not_taken_is_told_in_words(tmp_path, case, caplog):
    make, words = UNTAKEN[case]

    async def story():
        async with Line(tmp_path) as line:
            core, events, _ = line.worker(make(line))
            await until(lambda: any(words in one for one in line.told))
            assert line.told[0].startswith(f"waiting for the ledger at 127.0.0.1:{line.port}: ")
            assert not core.spending
            assert events.heard == []
            assert line.workers() == []

    play(story)
    assert "was refused: its certificate is not taken (" in caplog.text


NAMES = {
    "no worker": ([x509.DNSName("eu-1")], "the certificate of eu-1 names no worker"),
    "a worker beside the ledger": (
        [x509.UniformResourceIdentifier("tokenroll:worker:0")], "names worker 0; those of other machines are 64 to 127",
    ),
    "a number too large": (
        [x509.UniformResourceIdentifier("tokenroll:worker:128")], "names worker 128; those of other machines are 64 to 127",
    ),
    "another worker": (
        [x509.UniformResourceIdentifier("tokenroll:worker:65")],
        "the certificate of eu-1 speaks for worker 65, not for worker 64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_nobody_speaks_for_a_worker_that_the_certificate_does_not_name(tmp_path, case):
    names, words = NAMES[case]

    async def story():
        async with Line(tmp_path) as line:
            files = line.authority.issue("eu-1", "client", names)
            _, events, _ = line.worker(files)
            await until(lambda: events.heard)
            assert len(events.heard) == 1
            assert events.heard[0].startswith(f"ended {'not_named' if case == 'another worker' else 'worker'}: ")
            assert words in events.heard[0]
            assert line.workers() == []

    play(story)


def test_a_node_that_the_configuration_refuses_is_refused(tmp_path):
    async def story():
        async with Line(tmp_path, refused=("eu-1",)) as line:
            _, events, _ = line.worker(line.authority.node("eu-1", 64))
            other, _, _ = line.worker(line.authority.node("eu-2", 65), worker=65, folder="b")
            await until(lambda: events.heard and other.spending)
            assert events.heard == [
                "ended worker: the certificate of eu-1 is refused by [nodes] of the ledger's config.toml"
            ]
            assert line.workers() == [65]

    play(story)


def test_who_shows_no_certificate_hears_nothing(tmp_path, caplog):
    async def story():
        async with Line(tmp_path) as line:
            context = ssl.create_default_context(cafile=str(line.authority.ca_file))
            loop = asyncio.get_running_loop()
            _, one = await loop.create_connection(
                RawPeer, "127.0.0.1", line.port, ssl=context, server_hostname=LEDGER_NAME
            )
            one.say(hello())
            assert await one.hears() == []
            assert line.workers() == []

    play(story)
    assert "it showed no certificate" in caplog.text


def test_who_speaks_tls_1_2_or_no_tls_hears_nothing(tmp_path, caplog, monkeypatch):
    async def story():
        async with Line(tmp_path) as line:
            loop = asyncio.get_running_loop()
            old = node_context(line.authority.node())
            old.minimum_version = ssl.TLSVersion.TLSv1_2
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError):
                await loop.create_connection(RawPeer, "127.0.0.1", line.port, ssl=old, server_hostname=LEDGER_NAME)
            _, plain = await loop.create_connection(RawPeer, "127.0.0.1", line.port)
            monkeypatch.setattr(plain, "data_received", heard.append)
            plain.say(hello())
            async with asyncio.timeout(20):
                await plain.gone
            assert line.workers() == []

    heard: list[bytes] = []
    play(story)
    assert len(heard) <= 1  # at most a TLS alert, which has seven bytes
    assert all(len(one) == 7 for one in heard)
    assert "it speaks no TLS 1.3" in caplog.text
    assert "was refused: it speaks no TLS\n" in caplog.text


@pytest.mark.parametrize("who", ["another authority", "a node"])
def test_a_node_says_nothing_to_whoever_is_not_its_ledger(tmp_path, who):
    """Another authority's ledger, and another node that has got hold of the address."""
    true = Authority(tmp_path)
    if who == "another authority":
        files = Authority(tmp_path).ledger()
        files = type(files)(ca_file=true.ca_file, certificate_file=files.certificate_file, key_file=files.key_file)
    else:
        files = true.node("eu-2", 65)

    async def story():
        async with Line(tmp_path, files=files) as line:
            _, events, _ = line.worker(true.node())
            await until(lambda: line.told)
            assert "its certificate is not taken (" in line.told[0]
            assert events.heard == []
            assert line.workers() == []

    play(story)


# ---- what a node may say -----------------------------------------------------------------------------


UNHEARD = {
    "a command": (
        Command(id="x", name="grant.top_up", arguments={"to": "Ada", "amount_nanos": 5}),
        "a Command is not for a node to say",
    ),
    "a question": (Status(), "a Status is not for a node to say"),
    "keys used before its HELLO": (KeysUsed(used_at=0, key_ids=[1]), "a KeysUsed is not for a node to say"),
    "a report before its HELLO": (Report(64, 1, b""), "a Report of worker 64 came before its HELLO"),
    "ready before its HELLO": (Ready(64, 1), "a Ready of worker 64 came before its HELLO"),
    "a report of another": (Report(65, 1, b""), "the certificate of eu-1 speaks for worker 64, not for worker 65"),
    "applied by another": (Applied(0, 9), "the certificate of eu-1 speaks for worker 64, not for worker 0"),
    "the end of another": (Resign(65, 1), "the certificate of eu-1 speaks for worker 64, not for worker 65"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNHEARD)
def test_a_node_that_says_more_than_it_may_is_refused_and_nothing_is_done(tmp_path, case):
    message, words = UNHEARD[case]

    async def story():
        async with Line(tmp_path) as line:
            seq = line.ledger.last_seq
            one = await peer(line, line.authority.node())
            one.say(message)
            assert await one.hears() == [Refusal("worker", words)]
            assert line.ledger.last_seq == seq

    play(story)


def test_another_version_is_refused_in_words(tmp_path):
    async def story():
        async with Line(tmp_path) as line:
            one = await peer(line, line.authority.node())
            one.say(hello(version=1))
            await until(lambda: one.messages)
            assert one.messages == [Refusal("version", "the ledger speaks protocol 2, not 1: restart both")]

    play(story)


def test_nothing_large_is_read_before_a_hello(tmp_path):
    async def story():
        async with Line(tmp_path) as line:
            one = await peer(line, line.authority.node())
            one.transport.write(struct.pack(">I", limits.NODE_HELLO_BYTES_MAX + 1))
            assert await one.hears() == []
            other = await peer(line, line.authority.node())
            other.say(hello())
            await until(lambda: other.messages)
            assert isinstance(other.messages[0], Welcome)
            other.transport.write(struct.pack(">I", limits.MESSAGE_BYTES_MAX))
            other.say(Alive())  # read as the beginning of that large message
            await asyncio.sleep(0.05)
            assert not other.gone.done()

    play(story)


# ---- silence -----------------------------------------------------------------------------------------


def test_who_says_no_hello_in_time_is_cut_off(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(node_door, "NODE_HANDSHAKE_SECONDS_MAX", 0.3)

    async def story():
        async with Line(tmp_path) as line:
            silent = await peer(line, line.authority.node())
            await silent.hears()
            with socket.create_connection(("127.0.0.1", line.port)) as wordless:
                wordless.setblocking(False)
                async with asyncio.timeout(20):
                    while await asyncio.get_running_loop().sock_recv(wordless, 1):
                        pass

    play(story)
    assert "it said no HELLO within 0.3 s" in caplog.text
    assert "was refused: no handshake within" in caplog.text


def test_a_silent_node_is_given_up_after_four_looks_and_one_that_answers_is_not(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(node_door, "NODE_SILENCE_SECONDS_MAX", 0.2)
    monkeypatch.setattr(TlsRoute, "quiet_rounds_max", 1)
    monkeypatch.setattr("tokenroll.services.worker_link.RETRY_SECONDS", 0.02)

    async def story():
        async with Line(tmp_path) as line:
            core, _, _ = line.worker(line.authority.node("eu-2", 65), worker=65)
            await until(lambda: core.spending)
            one = await peer(line, line.authority.node())
            one.say(hello())
            await one.hears()
            assert core.spending
            assert line.told == []

    play(story)
    assert "node eu-1" in caplog.text
    assert "it was silent for 0.2 s" in caplog.text
    assert "node eu-2" not in [record.args[0] for record in caplog.records if "cut off" in record.message]


def test_a_silent_ledger_is_given_up_and_asked_anew(tmp_path, monkeypatch):
    """A proxy that keeps the connection and swallows every byte: no kernel tells of it."""
    monkeypatch.setattr(TlsRoute, "quiet_rounds_max", 2)
    monkeypatch.setattr("tokenroll.services.worker_link.RETRY_SECONDS", 0.02)

    async def story():
        async with Line(tmp_path) as line:
            cable = Cable(line.port)
            core, events, link = line.worker(line.authority.node(), port=cable.port)
            await until(lambda: core.spending)
            cable.swallows = True
            core.report(events.write(hold_record(1, (ADA_LOT, 1000)), dispatched_record(1)))
            await until(lambda: line.told)
            assert "the connection ended" in line.told[0]
            assert line.ledger.folded_sequence(WORKER, 1) == 0
            cable.swallows = False
            assert await link.drained(20)
            assert line.ledger.folded_sequence(WORKER, 1) == 2
            assert line.told[-1].endswith("answers again")
            assert events.heard.count("begin 1") == 1
            cable.close()

    play(story)


def test_a_certificate_that_expires_ends_its_connection(tmp_path, caplog):
    async def story():
        async with Line(tmp_path) as line:
            core, _, _ = line.worker(line.authority.node())
            await until(lambda: core.spending)
            (connection,) = line.server.connections
            connection.look()
            assert not connection._transport.is_closing()
            connection._clock = lambda: 4_102_444_800_000_000  # 2100-01-01
            connection.look()
            await until(lambda: line.told)

    play(story)
    assert "its certificate has expired" in caplog.text


# ---- one worker, one machine -------------------------------------------------------------------------


def test_a_copied_home_waits_while_the_first_one_lives(tmp_path):
    async def story():
        async with Line(tmp_path) as line:
            files = line.authority.node()
            first, _, link = line.worker(files)
            await until(lambda: first.spending)
            copy, events, _ = line.worker(files, boot_id=b"another machine!", folder="copy")
            await until(lambda: line.told)
            assert "worker 64 works on another machine, at 127.0.0.1:" in line.told[0]
            assert first.spending
            assert events.heard == []
            await link.close()
            await until(lambda: copy.spending)

    play(story)


def test_a_copied_home_on_the_same_machine_waits_too(tmp_path):
    """It looks like a start anew, but the first process lives: else the two would end each other in turns."""

    async def story():
        async with Line(tmp_path) as line:
            files = line.authority.node()
            first, heard, link = line.worker(files)
            await until(lambda: first.spending)
            copy, _, _ = line.worker(files, folder="copy")
            await until(lambda: line.told)
            assert "worker 64 works in another process of this machine, at 127.0.0.1:" in line.told[0]
            assert first.spending
            assert not any("ended" in one for one in heard.heard)
            await link.close()
            await until(lambda: copy.spending)

    play(story)


def test_the_same_machine_may_start_its_worker_anew(tmp_path):
    """The process before is dead, so its line is closed."""

    async def story():
        async with Line(tmp_path) as line:
            files = line.authority.node()
            first, _, link = line.worker(files)
            await until(lambda: first.spending)
            await link.close()
            second, _, _ = line.worker(files, folder="b")
            await until(lambda: second.spending)

    play(story)


# ---- files -------------------------------------------------------------------------------------------


def test_a_new_certificate_counts_from_the_next_connection_on(tmp_path):
    async def story():
        async with Line(tmp_path) as line:
            files = line.authority.node(days=-1)
            core, _, _ = line.worker(files)
            await until(lambda: any("it has expired" in one for one in line.told))
            fresh = line.authority.node()
            files.key_file.write_bytes(fresh.key_file.read_bytes())
            files.certificate_file.write_bytes(fresh.certificate_file.read_bytes())
            await until(lambda: core.spending)
            assert line.told[-1].endswith("answers again")

    play(story)


@pytest.mark.parametrize("make", [ledger_context, node_context])
def test_files_that_cannot_be_used_are_named(tmp_path, make):
    files = Authority(tmp_path).node()
    make(files)
    files.key_file.chmod(0o640)
    with pytest.raises(LineError, match="may be read by others: chmod 600 it"):
        make(files)
    files.key_file.chmod(0o600)
    other = Authority(tmp_path).node()
    with pytest.raises(LineError, match="KEY_VALUES_MISMATCH"):
        make(type(files)(ca_file=files.ca_file, certificate_file=other.certificate_file, key_file=files.key_file))
    files.ca_file.unlink()
    with pytest.raises(LineError, match=r"ca_file .*ca\.crt cannot be used: No such file"):
        make(files)
    files.key_file.unlink()
    with pytest.raises(LineError, match="cannot be read: No such file"):
        make(files)


def test_a_connection_without_a_certificate_has_no_peer():
    with pytest.raises(LineError, match="it showed no certificate"):
        peer_of(None)


def test_the_limits_are_the_same_everywhere():
    assert NODE_WORKERS == (limits.NODE_WORKER_MIN, WORKER_MAX) == (64, 127)
    counts = (limits.NODE_LEASE_SECONDS, limits.NODE_LEASE_SECONDS_MIN, limits.NODE_LEASE_SECONDS_MAX)
    assert NODE_LEASE_SECONDS == counts == (30, 3, 3_600)
    assert ALLOW_CREDITS_MAX == limits.NODE_ALLOW_CREDITS_MAX
    assert set(WHEN_CUT_OFF) == set(WhenCutOff)
    answer = Kit().ledger.hello(hello(128))
    assert isinstance(answer, Refusal)
    assert answer.kind == "worker"
