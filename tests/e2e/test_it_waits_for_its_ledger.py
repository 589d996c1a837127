"""A ledger that is two million records behind pauses admission: callers are told why in their dialect, and calls go on once it has caught up."""

import json

import pytest

from tests.e2e.rig import Rig, raw_call
from tests.e2e.test_it_bills_every_ending import request
from tokenroll.gateway.backlog import Backlog


@pytest.mark.parametrize(("path", "kind"), [(b"/v1/chat/completions", "server_error"), (b"/v1/messages", "api_error")])
def test_two_million_unfolded_records_pause_admission_until_a_tenth_of_them_is_folded(tmp_path, caplog, path, kind):
    with Rig(tmp_path) as one:
        unfolded = 2_000_000
        backlog = Backlog(one.gateway, lambda: unfolded)
        one.ask(backlog.look)
        assert (backlog.paused, one.gateway.not_ready) == (False, "")
        unfolded = 2_000_001
        one.ask(backlog.look)
        head, _, body = one.call(raw_call(one.port, [request(path=path)])).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in head.lower()
        error = json.loads(body)["error"]
        assert error["type"] == kind
        assert error["message"].startswith(
            "The ledger has more than 2,000,000 records of this gateway still to book, so new calls wait"
        )
        assert next(iter(backlog.metrics())) == (
            "tokenroll_admission_paused", "gauge", 'reason="unfolded_records"', 1,
        )  # fmt: skip
        unfolded = 1_800_000
        one.ask(backlog.look)
        assert backlog.paused
        unfolded = 1_799_999
        one.ask(backlog.look)
        assert (backlog.paused, one.gateway.not_ready) == (False, "")
        assert next(iter(backlog.metrics()))[3] == 0
    assert caplog.messages == [
        "admission pauses, 2,000,001 records wait for the ledger",
        "admission goes on, the ledger has caught up",
    ]


def test_another_reason_not_to_admit_stands_whatever_the_ledger_does(tmp_path):
    with Rig(tmp_path) as one:
        unfolded = 3_000_000
        backlog = Backlog(one.gateway, lambda: unfolded)
        one.gateway.not_ready = "ending"
        one.ask(backlog.look)
        assert (backlog.paused, one.gateway.not_ready) == (False, "ending")
        one.gateway.not_ready = ""
        one.ask(backlog.look)
        one.gateway.not_ready = "ending"
        unfolded = 0
        one.ask(backlog.look)
        assert (backlog.paused, one.gateway.not_ready) == (False, "ending")
