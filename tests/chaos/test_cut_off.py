"""A gateway that cannot reach its ledger spends what it was leased, tells the ledger later, and nobody's call waits for it."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import openai
import pytest

from tests.chaos.wire import Wire
from tests.company import Company

pytestmark = pytest.mark.timeout(120)
CREDIT = 1_000_000_000
# 12 bytes of content are 3 tokens, and 16 for the message, at 150 nanos; 12 tokens out at 600
CALL_NANOS = 19 * 150 + 12 * 600


@pytest.fixture
def company(tmp_path):
    with Company(tmp_path / "home", durability="synced") as running:
        running.hire("Ada")
        running.hire("Bo", 3 * 22_000)
        yield running


def ask(company, name="Ada"):
    """Seconds that the call took."""
    began = time.monotonic()
    answer = company.openai(name).chat.completions.create(
        model="gpt-4o-mini", max_tokens=20, messages=[{"role": "user", "content": "Hello there!"}],
        extra_headers={"x-sim-output-tokens": "12"},
    )  # fmt: skip
    assert answer.usage.completion_tokens == 12
    return time.monotonic() - began


@contextlib.contextmanager
def a_wire_to(company):
    """The gateway's line goes through here: its next life connects to the proxy."""
    with Wire(company.settings.socket_path) as wire:
        company.end("gateway", signal.SIGTERM)
        company.start_gateway()
        yield wire


def is_served(company, name):
    """Whether a call went through; else the wallet was too empty for it."""
    try:
        ask(company, name)
    except openai.RateLimitError as error:
        if f"The wallet {name} has" not in error.message:
            raise
        return False
    return True


def test_a_gateway_cut_off_from_its_ledger_serves_what_it_was_leased_and_no_more(company):
    with a_wire_to(company) as wire:
        for _ in range(5):
            ask(company)
        company.quiet()
        wire.cut()
        for _ in range(10):
            ask(company)
        # Bo has 66,000 nanos, a call holds 14,850 at most and takes 10,050: six fit, a seventh does not
        served = 0
        while is_served(company, "Bo"):
            served += 1
        assert 4 <= served <= 6
        assert served * CALL_NANOS <= 66_000
        assert company.wallet("Ada").spent == 5 * CALL_NANOS, "the ledger cannot know"
        assert company.me("Ada").spent == 15 * CALL_NANOS
        wire.mend()
        company.quiet()
        company.prove()
        assert company.wallet("Ada").spent == 15 * CALL_NANOS
        assert company.wallet("Bo").spent == served * CALL_NANOS
        assert company.me("Bo") == company.wallet("Bo")


def test_a_line_that_breaks_again_and_again_loses_and_doubles_nothing(company):
    """Reports, acknowledgments and deltas are cut wherever they are; grants made meanwhile arrive once."""
    rng = random.Random(5)
    over = threading.Event()
    with a_wire_to(company) as wire:

        def breaks():
            while not over.is_set():
                time.sleep(rng.uniform(0.01, 0.4))
                wire.cut()
                time.sleep(rng.uniform(0.0, 0.3))
                wire.mend()

        thread = threading.Thread(target=breaks)
        thread.start()
        try:
            for number in range(60):
                ask(company)
                if number % 12 == 10:
                    grants(company, f"grant-{number}")
        finally:
            over.set()
            thread.join()
        wire.mend()
        company.prove()
    assert company.wallet("Ada").spent == 60 * CALL_NANOS
    assert company.wallet("Ada").left == 105 * CREDIT - 60 * CALL_NANOS


def grants(company, write_id):
    """One credit to Ada, asked for under one id until there is an answer."""
    for _ in range(40):
        try:
            company.tokenroll("grant", "top-up", "Ada", "--amount", "1", "--id", write_id, "--json")
        except AssertionError:
            continue
        return
    raise AssertionError("never answered")


def test_a_ledger_that_stands_still_keeps_nobodys_call_waiting(company):
    """SIGSTOP: its connections are there and it does not answer, as after a long pause of a virtual machine."""
    ask(company)
    company.quiet()
    ledger = company._processes["ledger"]
    ledger.send_signal(signal.SIGSTOP)
    try:
        slowest = max(ask(company) for _ in range(40))
    finally:
        ledger.send_signal(signal.SIGCONT)
    assert slowest < 2, "a call waited for the ledger"
    company.prove()
    assert company.wallet("Ada").spent == 41 * CALL_NANOS


def test_whoever_commands_a_ledger_that_stands_still_is_told_that_it_is_waited_for(company):
    ledger = company._processes["ledger"]
    ledger.send_signal(signal.SIGSTOP)
    command = [sys.executable, "-m", "tokenroll", "grant", "top-up", "Ada", "--amount", "1", "--json"]
    environment = {**os.environ, "TOKENROLL_HOME": str(company.home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as said:
        try:
            assert said.stderr is not None
            assert said.stderr.readline() == "the ledger has not answered for 3 s; it is given 60 s\n"
        finally:
            ledger.send_signal(signal.SIGCONT)
        answer, rest = said.communicate(timeout=60)
    assert (said.returncode, rest) == (0, "")
    assert json.loads(answer)["delivery"] == "applied"
    assert company.me("Ada").left == 101 * CREDIT


def test_a_gateway_that_stood_still_goes_on_with_its_lease(company):
    """Paused in the middle of calls for longer than its ledger waits for anything; what was under way ends as it would have."""
    gateway = company._processes["gateway"]
    threads = [threading.Thread(target=ask, args=(company,)) for _ in range(8)]
    company.provider.hold()
    for thread in threads:
        thread.start()
    company.until(lambda: company.provider.state()["held"] == 8, "calls at the provider")
    gateway.send_signal(signal.SIGSTOP)
    company.provider.release()
    said = company.tokenroll("grant", "top-up", "Ada", "--amount", "1", "--json")
    assert said["delivery"] == "pending"
    time.sleep(3)
    gateway.send_signal(signal.SIGCONT)
    for thread in threads:
        thread.join(30)
    company.prove()
    assert company.wallet("Ada").spent == 8 * CALL_NANOS
    assert company.me("Ada").left == 101 * CREDIT - 8 * CALL_NANOS
