"""One call id is sent once, whichever workers its client comes to, however often and at the same moment (law 7)."""

import pytest

from tests.company import Company
from tests.e2e.burst import Burst, body_of, run

CALL = body_of(116, model="gpt-4o-mini", max_tokens=400, stream=False)
STREAM = body_of(115, model="gpt-4o-mini", max_tokens=400, stream=True)
QUICK = {"x-sim-output-tokens": "12"}
IDS = 40
AT_ONCE = 8


@pytest.fixture(params=[2, 4])
def company(tmp_path, request):
    with Company(tmp_path / "home", workers=request.param) as running:
        running.hire("Ada")
        yield running


SLOW = {"x-sim-output-tokens": "400", "x-sim-interval-us": "20000"}


def named(company, number, body=CALL, headers=QUICK):
    return company.raw_chat("Ada", body, {**headers, "x-tokenroll-call-id": f"job-{number}"})


def sent(company):
    """How many calls the provider billed, all of which the ledger knows to the nano."""
    company.prove()
    assert sum(line.cost_nanos for line in company.bill()) == company.spent_by_all()
    return len(company.bill())


def test_many_clients_with_one_id_at_once_are_one_call(company):
    requests = [named(company, number) for number in range(IDS) for _ in range(AT_ONCE)]

    async def story():
        return await Burst(company.port, requests).finish()

    answers = run(story)
    for number in range(IDS):
        statuses = sorted(answer.status for answer in answers[number * AT_ONCE : (number + 1) * AT_ONCE])
        assert statuses == [200] + [409] * (AT_ONCE - 1)
    assert sent(company) == IDS
    # and later, at whichever worker: what it cost, and no second call
    again = [named(company, number) for number in range(IDS)]

    async def later():
        return await Burst(company.port, again).finish()

    answers = run(later)
    assert {answer.status for answer in answers} == {409}
    assert all(b"settled" in answer.body for answer in answers)
    assert sent(company) == IDS


def test_clients_that_go_to_others_when_a_worker_dies_are_not_charged_twice(company, tmp_path):
    async def story():
        first = Burst(company.port, [named(company, number, STREAM, SLOW) for number in range(IDS)])
        await first.until(lambda: min(first.pieces) >= 2)
        company.end("gateway-1")
        retries = Burst(company.port, [named(company, number) for number in range(IDS)])
        return [*await first.finish(), *await retries.finish()]

    answers = run(story)
    assert any(not answer.whole for answer in answers[:IDS])
    # still running, or its worker is not there to say
    assert {answer.status for answer in answers[IDS:]} <= {409, 503}
    company.start_gateway()
    company.quiet()
    once_more = [named(company, number) for number in range(IDS)]

    async def later():
        return await Burst(company.port, once_more).finish()

    assert {answer.status for answer in run(later)} == {409}
    company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")
    assert sent(company) == IDS
