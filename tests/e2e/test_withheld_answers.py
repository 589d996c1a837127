"""With answers withheld until everybody is decided: admitted = floor(available / bound), to the call and to the nano.

OpenAI: a body of 184 bytes and 16 for its message, at 150 nanos a token, and 50 tokens of output at 600: a bound of 60,000 nanos.
Anthropic: the same at 8,000 (the dearest input, written into the cache for an hour) and 20 at 20,000: a bound of 2,000,000.
"""

import pytest

from tests.company import Company
from tests.e2e.burst import Burst, body_of, run
from tokenroll.store.attempt_record import parse_record
from tokenroll.store.database import open_reader
from tokenroll.store.tape import HOLD_WOULD_DENY

CALLS = 200
OPENAI_BOUND = 60_000
ANTHROPIC_BOUND = 2_000_000


def chat_body(stream):
    return body_of(184, model="gpt-4o-mini", max_tokens=50, n=1, stream=stream)


def messages_body(stream):
    return body_of(184, model="claude-opus-5-5", max_tokens=20, top_k=5, stream=stream)


# What is left of 184 bytes is content: 82 or 83 for a chat and 74 or 75 for messages, as "stream" is false or true; four bytes a
# token, rounded up, and 16 for the message: 37 tokens in and 50 out at gpt-4o-mini, 35 in and 20 out at claude-opus-5-5.
OPENAI_CHARGE = 37 * 150 + 50 * 600
ANTHROPIC_CHARGE = 35 * 4_000 + 20 * 20_000


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("acme") / "home") as running:
        yield running
        running.ledger_verify()


def call_of(company, name, dialect, number):
    """Every second call is streamed."""
    stream = number % 2 == 1
    if dialect == "openai":
        return company.raw_chat(name, chat_body(stream), {"x-sim-output-tokens": "50"})
    return company.raw_messages(name, messages_body(stream), {"x-sim-output-tokens": "20"})


def race(company, names, dialect):
    """The answers by member: CALLS calls of each, all answers withheld until every call is either at the provider or refused."""
    requests = [call_of(company, name, dialect, number) for number in range(CALLS) for name in names]

    async def story():
        company.provider.hold()
        burst = Burst(company.port, requests)
        await burst.until(lambda: len(burst.answers) + company.provider.state()["held"] == len(requests))
        refused = len(burst.answers)
        assert {answer.status for answer in burst.answers.values()} <= {402, 429}
        assert company.provider.release() == len(requests) - refused
        return await burst.finish()

    answers = run(story)
    company.prove()
    return {name: answers[place :: len(names)] for place, name in enumerate(names)}


def sizes_around(bound):
    """What a wallet has -> how many calls it affords."""
    return {
        0: 0, bound - 1: 0, bound: 1, bound + 1: 1, 10 * bound - 1: 9, 10 * bound: 10, 10 * bound + 1: 10,
        CALLS * bound - 1: CALLS - 1, CALLS * bound: CALLS,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "bound", "charge", "refusal"),
    [("openai", OPENAI_BOUND, OPENAI_CHARGE, 429), ("anthropic", ANTHROPIC_BOUND, ANTHROPIC_CHARGE, 402)],
)
def test_it_admits_exactly_what_the_wallet_affords(company, dialect, bound, charge, refusal):
    sizes = sizes_around(bound)
    names = {f"{dialect} agent with {nanos}": nanos for nanos in sizes}
    for name, nanos in names.items():
        company.hire(name, nanos)
    answers = race(company, list(names), dialect)
    for name, nanos in names.items():
        served = [answer for answer in answers[name] if answer.status == 200]
        refused = [answer for answer in answers[name] if answer.status == refusal]
        assert (len(served), len(refused)) == (sizes[nanos], CALLS - sizes[nanos]), name
        assert all(answer.whole for answer in served)
        wallet = company.wallet(name)
        assert (wallet.spent, wallet.left) == (sizes[nanos] * charge, nanos - sizes[nanos] * charge), name
        assert (wallet.in_use, wallet.being_checked, wallet.company_carried) == (0, 0, 0)


def test_it_tells_each_refused_agent_what_was_needed_and_left(company):
    company.hire("Ten agents' agent", 10 * OPENAI_BOUND + 1)
    answers = race(company, ["Ten agents' agent"], "openai")["Ten agents' agent"]
    refused = [answer.headers for answer in answers if answer.status == 429]
    assert len(refused) == 190
    assert {headers["x-tokenroll-needed"] for headers in refused} == {"0.000060000"}
    assert {headers["x-tokenroll-available"] for headers in refused} == {"0.000000001"}
    assert {headers["x-should-retry"] for headers in refused} == {"false"}


def test_it_draws_on_the_pool_when_the_wallet_is_used_up(company):
    """130,000 of one's own are two bounds and a piece; the pool's 500,000 make it ten, and 30,000 stay."""
    company.do("department.create", name="Research")
    company.do("pool.create", name="Research pool", department="Research")
    company.hire("Rosa", 130_000, department="Research")
    company.grant("Research pool", 500_000)
    answers = race(company, ["Rosa"], "openai")["Rosa"]
    assert [sum(answer.status == status for answer in answers) for status in (200, 429)] == [10, 190]
    # two whole charges of her own, 10,000 of the third; the rest of the third and seven more from the pool
    rosa, pool = company.wallet("Rosa"), company.wallet("Research pool")
    assert (rosa.spent, rosa.left) == (81_100, 48_900)
    assert (pool.spent, pool.left) == (274_400, 225_600)


def test_it_lets_waiting_calls_go_on_when_others_settle(company):
    """Nothing is withheld: 40 calls on a wallet for twenty at a time; those that wait are served by what the first ones give back.

    After n settled calls 1,200,000 - 35,550 n nanos are left. That is a whole bound of 60,000 up to n = 32, so 33 are served.
    """
    company.hire("Patient agent", 20 * OPENAI_BOUND)
    requests = [call_of(company, "Patient agent", "openai", number) for number in range(40)]

    async def story():
        return await Burst(company.port, requests).finish()

    with company.moves("Patient agent", 33 * OPENAI_CHARGE):
        answers = run(story)
    assert [sum(answer.status == status for answer in answers) for status in (200, 429)] == [33, 7]


def test_it_refuses_nobody_who_is_only_observed_and_books_the_excess_to_the_company(company):
    """620,000 nanos are ten bounds and 20,000: under `observe` all 200 pass, 190 of them marked as what would have been refused."""
    company.hire("Observed agent", 10 * OPENAI_BOUND + 20_000, enforcement="observe")
    answers = race(company, ["Observed agent"], "openai")["Observed agent"]
    assert {answer.status for answer in answers} == {200}
    assert not any("x-tokenroll-warning" in answer.headers for answer in answers)
    wallet = company.wallet("Observed agent")
    # ten whole charges and the 20,000 that the eleventh found; what that one and 189 more cost beyond is the company's
    assert wallet.spent == 10 * OPENAI_CHARGE + 20_000
    assert wallet.company_carried == 190 * OPENAI_CHARGE - 20_000
    assert wallet.left == 620_000 - 10 * OPENAI_CHARGE - 20_000
    assert would_have_been_refused(company, "Observed agent") == 190


def test_it_warns_where_it_would_refuse(company):
    company.hire("Warned agent", OPENAI_BOUND, enforcement="warn")
    answers = race(company, ["Warned agent"], "openai")["Warned agent"]
    assert {answer.status for answer in answers} == {200}
    assert sum("x-tokenroll-warning" in answer.headers for answer in answers) == 199
    assert company.wallet("Warned agent").company_carried == 199 * OPENAI_CHARGE


def would_have_been_refused(company, name):
    """Counted in the ledger's own rows."""
    reader = open_reader(company.settings.database_path)
    with reader.connect() as connection:
        query = "SELECT record FROM settlements JOIN wallets ON wallets.id = wallet_id WHERE wallets.name = ?"
        rows = connection.exec_driver_sql(query, (name,)).all()
    reader.dispose()
    return sum(bool(parse_record(row.record).hold.flags & HOLD_WOULD_DENY) for row in rows)
