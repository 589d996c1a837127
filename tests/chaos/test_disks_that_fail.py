"""A disk that is full, and one that does not keep what it is given: nobody is admitted on the word of such a tape, and nothing is pretended."""

import http.client
import json
import signal
import time

import pytest

from tests.chaos.shim import LEDGER, TAPE, Faults
from tests.chaos.supervised import Supervised
from tests.company import Company

pytestmark = pytest.mark.timeout(180)
CREDIT = 1_000_000_000
BODY = {"model": "gpt-4o-mini", "max_tokens": 20, "messages": [{"role": "user", "content": "Hello there!"}]}
# 12 bytes of content are 3 tokens, and 16 for the message, at 150 nanos; 12 tokens out at 600
CALL_NANOS = 19 * 150 + 12 * 600


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path / "faults")


@pytest.fixture
def company(tmp_path, faults):
    with Supervised(tmp_path / "home", durability="synced", environment=faults.environment) as running:
        running.hire("Ada")
        yield running


def ask(company, path="/v1/chat/completions", body=None):
    """Status and answer of a call of Ada's; it must come within five seconds, whatever is wrong."""
    headers = {"x-sim-output-tokens": "12", "authorization": f"Bearer {company.keys['Ada']}"}
    if path == "/v1/messages":
        headers |= {"x-api-key": company.keys["Ada"], "anthropic-version": "2023-06-01"}
        del headers["authorization"]
    connection = http.client.HTTPConnection("127.0.0.1", company.port, timeout=5)
    try:
        connection.request("POST", path, json.dumps(body or BODY), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def until_served(company, seconds=30):
    """The first call that is admitted again; the ones before it are refused, and none is left without an answer but between two lives.

    How many those were: each is served all the same when its client's patience ends while the next life begins.
    """
    deadline = time.monotonic() + seconds
    left = 0
    while True:
        try:
            status, _ = ask(company)
        except OSError:  # in the kernel's queue while the next life begins
            status, left = 0, left + 1
        if status == 200:
            return left
        assert status in {0, 503}
        assert time.monotonic() < deadline, company.log("serve")
        time.sleep(0.2)


SAYS = {"full": "No space left on device", "deaf": "Input/output error"}


@pytest.mark.parametrize("fault", SAYS)
def test_a_tape_that_cannot_be_written_admits_nobody_and_says_so_until_it_can(company, faults, fault):
    assert ask(company)[0] == 200
    company.quiet()
    getattr(faults, fault)(TAPE)
    for _ in range(5):
        assert ask(company) == (503, {"error": {
            "message": f"the tape cannot be written: {SAYS[fault]}", "type": "server_error", "param": None, "code": "not_ready"}})  # fmt: skip
        time.sleep(0.3)
    status, said = ask(company, "/v1/messages", {**BODY, "model": "claude-haiku-4-5"})
    assert (status, said["type"], said["error"]["message"]) == (
        503,
        "error",
        f"the tape cannot be written: {SAYS[fault]}",
    )
    assert company.get("/healthz")[0] == 503
    assert len(company.bill()) == 1, "something was sent that could not be recorded"
    assert faults.met(TAPE) > 0
    getattr(faults, fault)(TAPE, now=False)
    until_served(company)
    company.prove()
    assert company.ledger_verify()["holds"] is True
    assert len(company.bill()) == 2
    assert company.wallet("Ada").spent == 2 * CALL_NANOS
    assert company.me("Ada") == company.wallet("Ada")


def test_a_gateway_that_starts_on_a_full_disk_answers_and_begins_when_there_is_room(company, faults):
    assert ask(company)[0] == 200
    company.quiet()
    before = epoch(company)
    faults.full(TAPE)
    company.end("gateway")
    company.until(lambda: "gateway-000 ended (signal 9)" in company.log("serve"), "the supervisor")
    company.until(lambda: answers(company) == 503, "the next life's refusal")
    assert ask(company)[1]["error"]["message"] == "the tape cannot be written: No space left on device"
    time.sleep(1)
    assert epoch(company) == before, "lives were used up by a disk that takes none"
    faults.full(TAPE, now=False)
    left = until_served(company)
    company.prove()
    assert epoch(company) == before + 1
    assert company.wallet("Ada").spent in {(2 + served) * CALL_NANOS for served in range(left + 1)}


def answers(company):
    try:
        return ask(company)[0]
    except OSError:
        return 0


def epoch(company):
    """Which life of the worker is its last one in the ledger."""
    (worker,) = company.rows("SELECT epoch FROM workers WHERE worker = 0")
    return worker[0]


def test_a_stream_goes_on_over_a_full_disk_and_its_cost_is_found_on_the_bill(company, faults, tmp_path):
    """It was admitted when its hold could be written; that it ended cannot be, so it is checked afterwards."""
    body = {**BODY, "max_tokens": 100, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", company.port, timeout=20)
    headers = {
        "x-sim-output-tokens": "96",
        "x-sim-interval-us": "100000",
        "authorization": f"Bearer {company.keys['Ada']}",
    }
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    stream = connection.getresponse()
    assert stream.readline().startswith(b"data: ")
    faults.full(TAPE)
    assert ask(company)[0] == 503
    rest = stream.read()
    connection.close()
    assert rest.endswith(b"data: [DONE]\n\n")
    faults.full(TAPE, now=False)
    until_served(company)
    company.quiet()
    # 3 and 16 tokens in, bounded by the bytes of the body; what is held is not given back before the bill is there
    assert company.wallet("Ada").being_checked > 0
    bill = company.bill_file(tmp_path / "bill.jsonl")
    said = company.tokenroll("reconcile", "--bill", str(bill), "--json")
    assert (said["resolved_count"], said["suspense_count"], said["difference_count"]) == (1, 0, 0)
    company.prove()
    assert company.wallet("Ada").spent == (19 * 150 + 96 * 600) + CALL_NANOS


def test_a_full_disk_under_the_ledger_refuses_grants_and_lets_calls_go_on(company, faults):
    """A call needs the tape alone: what the ledger cannot fold waits there, and is folded when there is room."""
    faults.full(LEDGER)
    for _ in range(10):
        assert ask(company)[0] == 200
    said = company.tokenroll("grant", "top-up", "Ada", "--amount", "1", "--json", code=1)
    assert said["problem"]["detail"] == (
        f"the disk of {company.home} is full: free some space, then ask again; nothing was changed"
    )
    time.sleep(2)
    assert company.wallet("Ada").spent == 0
    assert company.me("Ada").spent == 10 * CALL_NANOS
    assert faults.met(LEDGER) > 3, "the worker asked once and gave up"
    told = [line for line in company.log("serve").splitlines() if "is full" in line]
    assert len(told) <= 4, "the same trouble is told again and again, which fills a disk, too"
    assert "Traceback" not in company.log("serve")
    faults.full(LEDGER, now=False)
    company.prove()
    assert company.wallet("Ada").spent == 10 * CALL_NANOS
    assert company.wallet("Ada").left == 100 * CREDIT - 10 * CALL_NANOS


def test_a_ledger_whose_disk_keeps_nothing_does_not_say_that_nothing_was_done(tmp_path, faults):
    """The grant stands in the log of the database, whole, and whoever opens it after a crash finds it: asked again, it is one grant."""
    with Company(tmp_path / "home", durability="synced", environment=faults.environment) as company:
        company.hire("Ada")
        faults.deaf(LEDGER)
        top_up = ("grant", "top-up", "Ada", "--amount", "1", "--id", "july-bonus", "--json")
        said = company.tokenroll(*top_up, code=1)
        assert said["problem"]["detail"] == (
            "the ledger's disk does not keep what is written to it (fsync: disk I/O error): see to it before anything else; "
            "whether it was done is not known: ask again with the same id, july-bonus"
        )
        company.openai().chat.completions.create(**BODY, extra_headers={"x-sim-output-tokens": "12"})
        company.end("ledger")
        faults.deaf(LEDGER, now=False)
        company.start_ledger()
        assert company.tokenroll(*top_up)["amount"] == {"amount": "1.000000000", "unit": "credits"}
        company.prove()
        assert company.wallet("Ada").left == 101 * CREDIT - CALL_NANOS
        assert company.me("Ada") == company.wallet("Ada")
        assert company.ledger_verify()["holds"] is True
        assert "Traceback" not in company.log("ledger")


def test_a_ledger_that_could_not_sync_reads_its_books_anew_and_goes_on(tmp_path, faults):
    """No restart by hand, no kill: the same process closes its books, opens them again and folds what it could not."""
    with Company(tmp_path / "home", durability="synced", environment=faults.environment) as company:
        company.hire("Ada")
        faults.deaf(LEDGER)
        for _ in range(5):
            company.openai().chat.completions.create(**BODY, extra_headers={"x-sim-output-tokens": "12"})
        company.until(lambda: faults.met(LEDGER) > 3, "a fold that failed")
        faults.deaf(LEDGER, now=False)
        company.prove()
        assert company.wallet("Ada").spent == 5 * CALL_NANOS
        company.end("gateway", signal.SIGTERM)
        company.end("ledger", signal.SIGTERM)
        assert company.ledger_verify()["holds"] is True
