"""Connections come to all workers alike, and nobody waits for one that does not take them."""

import contextlib
import http.client
import signal
from pathlib import Path

import pytest

from tests.chaos.supervised import Supervised
from tests.e2e.burst import Burst, body_of, run

CALL = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=False)
QUICK = {"x-sim-output-tokens": "12"}
SECOND = "gateway-001"
ESTABLISHED = "01"


@pytest.fixture
def company(tmp_path):
    with Supervised(tmp_path / "home", workers=2) as running:
        running.hire("Ada")
        yield running


class Programs:
    """Ada's programs: each has a connection of its own, which stays open after its call."""

    def __init__(self, company):
        self._company = company
        self._connections = []

    def come(self, count):
        """So many more, whose connections are there before the first of them calls. What they are answered."""
        came = [http.client.HTTPConnection("127.0.0.1", self._company.port, timeout=60) for _ in range(count)]
        for one in came:
            one.connect()
        self._connections += came
        head = {"authorization": f"Bearer {self._company.keys['Ada']}", "content-type": "application/json"}
        for one in came:
            one.request("POST", "/v1/chat/completions", CALL, head | QUICK)
        answers = [one.getresponse() for one in came]
        for answer in answers:
            answer.read()
        return [answer.status for answer in answers]

    def close(self):
        """They all leave."""
        for one in self._connections:
            one.close()


@pytest.fixture
def programs(company):
    with contextlib.closing(Programs(company)) as made:
        yield made


def connections(company):
    """How many each worker has, the first one's first: by the kernel's word, for every question is a connection of its own."""
    there = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == ESTABLISHED and int(local.partition(":")[2], 16) == company.port:
            there.add(f"socket:[{inode}]")
    return [len(there & open_files(company.pid(name))) for name in company.gateways]


def open_files(pid):
    found = set()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(one.readlink()))
    return found


def test_each_of_two_workers_has_its_part_of_64_connections(company, programs):
    for _ in range(8):  # a worker that the machine keeps waiting for a moment makes up for it
        assert programs.come(8) == [200] * 8
    few, many = sorted(connections(company))
    assert few + many == 64
    # none has less than 40 % of them
    assert 26 <= few <= 32


def test_clients_that_come_one_by_one_come_to_each_in_turn(company):
    for _ in range(20):
        company.get("/healthz")
    first, second = company.everywhere("tokenroll_client_connections_total")
    assert min(first, second) >= 6


def test_nobody_waits_for_a_worker_that_stands_still(company, programs):
    assert programs.come(2) == [200, 200]
    before = connections(company)[1]
    assert company.signal_to(SECOND, signal.SIGSTOP)
    try:
        # the one that stands still has fewer connections, all the time
        assert programs.come(20) == [200] * 20
    finally:
        company.signal_to(SECOND, signal.SIGCONT)
    assert connections(company) == [22 - before, before]


def test_who_waits_at_a_killed_worker_is_served(company):
    """Both stand still while fifty come, and one of them is killed: the other one answers all, or the next life of the one."""
    calls = [company.raw_chat("Ada", CALL, QUICK) for _ in range(50)]

    async def story():
        for role in company.gateways:
            company.signal_to(role, signal.SIGSTOP)
        burst = Burst(company.port, calls)
        await burst.until(lambda: burst.connected == 50)
        company.end(SECOND)
        company.signal_to("gateway", signal.SIGCONT)
        return await burst.finish()

    assert [answer.status for answer in run(story)] == [200] * 50


def test_the_next_life_of_a_worker_takes_what_the_other_has_more(company, programs):
    company.end(SECOND)
    assert programs.come(12) == [200] * 12
    company.until(lambda: company.leases_out() == 2, "the lease of its next life")
    company.until(lambda: min(company.everywhere("tokenroll_admitting")) == 1, "its next life")
    assert connections(company) == [12, 0]
    while (
        len(set(connections(company))) > 1
    ):  # in turn or not: until it has as many, no more than a few come to the other
        assert programs.come(1) == [200]
        assert max(connections(company)) < 20


def test_whoever_is_asked_tells_what_all_count(company, programs):
    """Prometheus comes with one connection, to whichever worker has fewer: what it reads is of both, and of one only when asked so."""
    assert programs.come(20) == [200] * 20
    calls = "tokenroll_calls_total"
    company.until(lambda: company.metric(calls) == 20, "the pages of both")
    parts = company.everywhere(calls)
    assert sum(parts) == 20
    # whoever is asked may not have been asked before, and tells of the other what that one wrote a moment ago
    company.until(lambda: [company.metric(f'{calls}{{worker="{worker}"}}') for worker in (0, 1)] == parts, "the parts")
    page = company.get("/metrics")[1].splitlines()
    assert [line for line in page if line.startswith(f"# TYPE {calls} ")] == [f"# TYPE {calls} counter"]
    assert len([line for line in page if line.startswith("tokenroll_added_latency_seconds_count{")]) == 2
    alone = company.get("/metrics?worker=this")[1].splitlines()
    assert len([line for line in alone if line.startswith(calls)]) == 1
