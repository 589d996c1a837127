"""What headers say about money is what the wallet says: the gateway's own words on holds of a worker's desk."""

import asyncio
from pathlib import Path

from tests.cast import CREDIT
from tests.desk import BOUND, Desk, lot, wallet
from tokenroll.gateway.outbox import Outbox
from tokenroll.gateway.settings import GatewaySettings
from tokenroll.gateway.telling import hold_lines, whole_lines
from tokenroll.gateway.worker import Gateway
from tokenroll.services.group_commit import GroupCommit
from tokenroll.store.tape import Durability

AVAILABLE = b"x-tokenroll-available: "


def available(lines):
    return next(line.removeprefix(AVAILABLE) for line in lines.split(b"\r\n") if line.startswith(AVAILABLE))


def gateway_of(desk):
    """A worker's own gateway, which serves nobody: compiled code takes no double."""
    loop = asyncio.new_event_loop()
    commit = GroupCommit(
        desk.tape, Durability.WRITTEN, loop, clock=lambda: desk.now, append_dispatched=lambda holds: None,
        after_dispatch=lambda: None, on_block=lambda block: None, on_failure=lambda error: None,
    )  # fmt: skip
    settings = GatewaySettings(home=Path(), durability=Durability.WRITTEN, deployments=())
    gateway = Gateway(settings, desk.spending, commit, lambda: desk.now, loop, Outbox(loop))
    loop.close()
    return gateway


def told(desk):
    """What the headers of a call say is available before and after its settlement (3.75 million nanos), and what the wallet has then."""
    gateway = gateway_of(desk)
    hold = desk.admit()
    desk.dispatch(hold)
    before = available(hold_lines(gateway, hold, b"call_1"))
    assert desk.settle(hold, input=1_000, output=50) == 3_750_000
    after = available(whole_lines(gateway, hold, b"call_1", 3_750_000))
    return before, after, desk.available()


def test_a_settlement_gives_an_empty_wallet_nothing_back(tmp_path):
    desk = Desk(tmp_path, wallet(enforcement="observe"))
    assert told(desk) == (b"0.000000000", b"0.000000000", 0)


def test_what_the_company_would_have_carried_is_not_given_back_to_a_wallet(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 5_000_000), enforcement="observe"))
    assert told(desk) == (b"0.000000000", b"0.001250000", 1_250_000)


def test_an_overage_beside_a_wallet_is_not_given_back_to_it(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, 1_000_000), overage_nanos_max=10_000_000))
    assert told(desk) == (b"0.000000000", b"0.000000000", 0)


def test_what_was_drawn_and_not_needed_is_given_back(tmp_path):
    desk = Desk(tmp_path, wallet(lot(1, CREDIT)))
    assert BOUND == 7_596_000
    assert told(desk) == (b"0.992404000", b"0.996250000", 996_250_000)
