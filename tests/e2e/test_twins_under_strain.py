"""Coalescing when everything else goes wrong at the same time: providers that fail and break off, clients that leave, a gateway that is killed.

Whatever happens, each hold ends once, a follower is never charged and never sent, and the provider's bill is the ledger to the nano.
"""

import asyncio
import random
from collections import Counter

import pytest

from tests.company import COMPANY_KEY, Company
from tests.e2e.burst import Burst, body_of, run
from tests.e2e.test_kills import all_agree, reconciled
from tokenroll.testing import SimulatedProvider

FAULTS = "500:0.15;drop:0.05;cut:0.1;gzip:0.05;split-body:0.05;no-length:0.05;529:0.05"
STREAM = body_of(131, model="gpt-4o-mini", max_tokens=400, stream=True, temperature=0)
SLOW = {"x-sim-output-tokens": "400", "x-sim-interval-us": "20000"}
TWINS = 20


def hired(company):
    company.hire("Ada", terms={"thrift": {"coalesce": True}})
    return company


@pytest.mark.parametrize("durability", ["written", "synced"])
def test_a_gateway_that_is_killed_leaves_one_call_to_check_and_none_of_its_followers(tmp_path, durability):
    with Company(tmp_path / "home", durability=durability) as company:
        hired(company)
        requests = [company.raw_chat("Ada", STREAM, SLOW) for _ in range(TWINS)]

        async def story():
            burst = Burst(company.port, requests)
            await burst.until(lambda: min(burst.pieces) >= 4)
            company.end("gateway")
            return await burst.finish()

        assert not any(answer.whole for answer in run(story))
        company.start_gateway()
        company.quiet()
        assert Counter(call["outcome"] for call in company.calls("Ada")) == {
            "being checked": 1,
            "not charged": TWINS - 1,
        }
        assert len(company.bill()) == 1
        said = reconciled(company, tmp_path)
        assert (said["resolved_count"], said["suspense_count"], said["difference_count"]) == (1, 0, 0)
        all_agree(company)
        assert company.ledger_verify()["holds"]


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_fails_and_whoever_leaves_the_bill_is_the_ledger(tmp_path, seed):
    dice = random.Random(seed)
    provider = SimulatedProvider(seed=seed, api_key=COMPANY_KEY, faults=FAULTS)
    with Company(tmp_path / "home", provider=provider) as company:
        hired(company)
        bodies = [
            body_of(140 + kind, model="gpt-4o-mini", max_tokens=60, stream=kind % 2 == 0, temperature=0)
            for kind in range(12)
        ]
        sizes = {"x-sim-output-tokens": "40", "x-sim-interval-us": "2000"}
        requests = [company.raw_chat("Ada", dice.choice(bodies), sizes) for _ in range(120)]
        leavers = dice.sample(range(120), 30)

        async def story():
            company.provider.hold()
            burst = Burst(company.port, requests)
            while await asyncio.to_thread(company.metric, "tokenroll_calls_total") < 120:  # noqa: ASYNC110 - the condition is in another process
                await asyncio.sleep(0.01)
            for number in leavers[:15]:
                burst.leave(number)
            await asyncio.to_thread(company.provider.release)
            for number in leavers[15:]:
                asyncio.get_running_loop().call_later(dice.random() / 10, burst.leave, number)
            return await burst.finish()

        answers = run(story)
        company.quiet()
        reconciled(company, tmp_path)
        all_agree(company)
        assert company.ledger_verify()["holds"]
        calls = company.calls("Ada")
        assert len({(call["call"], call["attempt"]) for call in calls}) == len(calls) > len(company.bill())
        whole = [answer for answer in answers if answer.whole and answer.status == 200]
        followed = [answer for answer in whole if "x-tokenroll-coalesced" in answer.headers]
        led = {answer.headers["x-tokenroll-call-id"]: answer.body for answer in whole if answer not in followed}
        assert len(followed) > 10
        for answer in followed:  # whose leader's client stayed has the very bytes
            assert answer.body == led.get(answer.headers["x-tokenroll-coalesced"], answer.body)
