"""A ledger put back from an older copy beside younger tapes: what the tapes have is booked again, what they have not is not guessed."""

import os
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.chaos.supervised import Supervised

pytestmark = [pytest.mark.timeout(180), pytest.mark.sqlite]
CREDIT = 1_000_000_000
CALL_NANOS = 19 * 150 + 12 * 600


@pytest.fixture
def company(tmp_path):
    with Supervised(tmp_path / "home", durability="synced") as running:
        running.hire("Ada")
        ask(running, 3)
        running.quiet()
        yield running


def ask(company, count, cap=20, tries_again=0):
    """Calls that cost the same whatever they may cost."""
    for _ in range(count):
        company.openai(max_retries=tries_again).chat.completions.create(
            model="gpt-4o-mini", max_tokens=cap, messages=[{"role": "user", "content": "Hello there!"}],
            extra_headers={"x-sim-output-tokens": "12"},
        )  # fmt: skip


def copy_of(company, folder):
    """A backup while all is running, as docs/faults.md says."""
    with sqlite3.connect(company.settings.database_path) as ledger:
        ledger.execute("VACUUM INTO ?", (str(folder / "copy.db"),))
    ledger.close()
    return folder / "copy.db"


def put_back(company, copy):
    """The ledger's disk is lost, and the copy put where it was; the gateway lives all the while."""
    company.signal_to("serve", signal.SIGSTOP)
    pid = company.pid("ledger")
    os.kill(pid, signal.SIGKILL)
    company.until(lambda: not is_running(pid), "the ledger's end")
    for end in ("", "-wal", "-shm"):
        company.settings.database_path.with_name(f"ledger.db{end}").unlink(missing_ok=True)
    shutil.copy(copy, company.settings.database_path)
    company.signal_to("serve", signal.SIGCONT)


def lose(company, folder, calls, cap=20):
    """The ledger that had these calls, for a copy of before."""
    copy = copy_of(company, folder)
    ask(company, calls, cap)
    company.quiet()
    put_back(company, copy)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def a_new_life(company):
    """The gateway ends in order and comes back under the next number."""
    pid = company.pid("gateway")
    company.end("gateway", signal.SIGTERM)
    company.until(lambda: company.pid("gateway") != pid and company.is_admitting(), "the gateway's next life")


def agrees(company, calls):
    company.until(company.is_admitting, "the gateway")
    ask(company, 1, tries_again=2)  # of several workers another one may just be about to end, and says that it does
    company.prove()
    assert company.ledger_verify()["holds"] is True
    assert len(company.bill()) == calls + 1
    assert company.wallet("Ada").spent == (calls + 1) * CALL_NANOS
    assert company.me("Ada") == company.wallet("Ada")


def test_calls_since_the_copy_are_booked_again_from_the_tape(company, tmp_path):
    lose(company, tmp_path, calls=4)
    company.until(lambda: "it is an older copy" in company.log("serve"), "the gateway's word")
    agrees(company, 7)


def test_a_gateway_whose_lease_the_copy_does_not_know_ends_and_begins_anew(company, tmp_path):
    """A grant was made since the copy, and nothing was called: the worker has it leased, the ledger never heard of it."""
    copy = copy_of(company, tmp_path)
    company.do("grant.top_up", to="Ada", amount_nanos=CREDIT)
    assert company.me("Ada").left == 101 * CREDIT - 3 * CALL_NANOS
    put_back(company, copy)
    company.until(lambda: "epoch 1 of worker 0 is over" in company.log("serve"), "the gateway's word")
    agrees(company, 3)
    assert company.me("Ada").left == 100 * CREDIT - 4 * CALL_NANOS


def test_later_lives_get_no_number_twice(company, tmp_path):
    copy = copy_of(company, tmp_path)
    ask(company, 1)
    for _ in range(2):
        a_new_life(company)
        ask(company, 2)
    company.quiet()
    put_back(company, copy)
    company.until(lambda: "the ledger knows 1: it is an older copy" in company.log("serve"), "the ledger's word")
    company.until(lambda: "epoch 3 of worker 0 is over" in company.log("serve"), "the gateway's word")
    agrees(company, 8)
    assert company.rows("SELECT epoch FROM workers") == [(5,)]


def test_a_copy_older_than_the_tape_is_refused_until_the_tape_is_there(company, tmp_path):
    """The ledger that is lost had folded two lives, and their tape was deleted; the backup of the tape has them."""
    tapes = company.settings.tape_directory / "worker-000"
    copy = copy_of(company, tmp_path)
    ask(company, 1)
    saved = tmp_path / "tape"
    for _ in range(2):
        a_new_life(company)
        shutil.copytree(tapes, saved, dirs_exist_ok=True)
        ask(company, 2)
    company.quiet()
    company.end("ledger", signal.SIGTERM)  # its next life keeps house first of all
    company.until(lambda: not list(tapes.glob("00000001-*")) and not list(tapes.glob("00000002-*")), "the chores")
    company.quiet()
    put_back(company, copy)
    company.until(lambda: "docs/faults.md says what to do" in company.log("serve"), "the ledger's refusal")
    time.sleep(1)
    assert company.pid("serve")
    said = next(line for line in company.log("serve").splitlines() if "docs/faults.md" in line)
    assert "it knows life 1 of worker 0" in said
    assert "the tape of life 1 that lies between was deleted" in said
    company.end("serve", signal.SIGTERM)
    for one in saved.glob("*.tape"):
        if not (tapes / one.name).exists():
            shutil.copy(one, tapes)
    company.start_gateway()
    agrees(company, 8)


def test_two_workers_are_booked_again_what_the_lost_ledger_lent_them(tmp_path):
    with Supervised(tmp_path / "home", durability="synced", workers=2) as company:
        company.hire("Ada")
        ask(company, 3)
        company.quiet()
        lose(company, tmp_path, calls=6, cap=4_000)  # more than was lent by then
        company.until(lambda: "Nobody is lent anything before" in company.log("serve"), "the ledger's word")
        agrees(company, 9)
        assert company.rows("SELECT halt_reason FROM workers") == [("",), ("",)]
