"""Three providers that fail in every way, thousands of calls: what the three bill by themselves is what the ledger charged, to the nano."""

import asyncio
from collections import Counter

from tests.company import COMPANY_KEY, Company
from tests.e2e.burst import Burst, run
from tokenroll.testing import SimulatedProvider

WAVES, CALLS_PER_WAVE = 20, 100
SMALL = {"x-sim-output-tokens": "12"}


def test_thousands_of_mixed_failures_are_billed_once_each_by_who_answered(tmp_path):
    providers = [
        SimulatedProvider(seed=number, api_key=COMPANY_KEY, faults=faults)
        for number, faults in enumerate(("500:0.2;drop:0.05;429:0.05", "529:0.2;cut=3:0.05", "503:0.15;drop:0.03"), 1)
    ]
    with Company(
        tmp_path / "home", provider=providers[0], others=tuple(providers[1:]), deployment="retry_unanswered = true\n"
    ) as company:
        for name in ("Ada", "Bo", "Nightly agent"):
            company.hire(name)

        async def story():
            answers = []
            for wave in range(WAVES):
                burst = Burst(
                    company.port, [a_call(company, wave * CALLS_PER_WAVE + at) for at in range(CALLS_PER_WAVE)]
                )
                answers += await burst.finish()
                await asyncio.sleep(0)
            return answers

        answers = run(story)
        statuses = Counter(answer.status for answer in answers)
        assert len(answers) == 2_000
        # every client was answered: nearly all by somebody, the rest with what the last provider said
        assert set(statuses) <= {200, 429, 500, 502, 503, 529}
        assert statuses[200] > 1_750  # about 1,550 get a good answer at the first attempt
        assert company.metric("tokenroll_further_attempts_total") > 200
        further = {
            why: company.metric(f'tokenroll_further_attempts_total{{worker="0",why="{why}"}}')
            for why in ("500", "529", "503", "unanswered")
        }
        assert min(further["500"], further["529"], further["503"]) > 0
        # a dropped call goes once more to the same provider where its connection had been idle, and elsewhere where it was new
        assert further["unanswered"] + company.metric("tokenroll_upstream_resends_total") > 10
        company.prove()
        # cut and dropped attempts are being checked until the bills decide; then nothing is open any more
        assert {row.state for row in company.calls_open()} == {"suspense"}
        said = company.tokenroll("reconcile", "--bill", str(company.bill_file(tmp_path / "bill.jsonl")), "--json")
        assert said["suspense_count"] == 0
        assert company.calls_open() == []
        bills = [sum(line.cost_nanos for line in provider.bill()) for provider in company.providers]
        assert all(bill > 0 for bill in bills)
        assert sum(bills) == company.spent_by_all()
        company.ledger_verify()


def a_call(company: Company, number: int) -> bytes:
    """Whole and streamed, in both dialects, by all three members in turn."""
    name = ("Ada", "Bo", "Nightly agent")[number % 3]
    text = b'"messages":[{"role":"user","content":"call %04d"}]' % number
    if number % 4 == 0:
        return company.raw_messages(name, b'{"model":"claude-haiku-4-5","max_tokens":40,%b}' % text, SMALL)
    if number % 4 == 1:
        return company.raw_messages(
            name, b'{"model":"claude-haiku-4-5","stream":true,"max_tokens":40,%b}' % text, SMALL
        )
    if number % 4 == 2:
        return company.raw_chat(name, b'{"model":"gpt-4o-mini","stream":true,"max_tokens":40,%b}' % text, SMALL)
    return company.raw_chat(name, b'{"model":"gpt-4o-mini","max_tokens":40,%b}' % text, SMALL)
