"""Ada's logs of Claude Code are charged to her wallet while the company serves: her own page, the ledger and the books say the same.

The model costs 1 credit for a million model tokens in and 5 for a million out, so the amounts below are multiplied by head.
"""

import json
from datetime import UTC, datetime

import pytest

from tests.company import Company

CREDIT = 1_000_000_000


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("charging") / "home") as running:
        running.hire("Ada", 10 * CREDIT)
        running.hire("Bo", CREDIT)
        yield running


def logged(company, name, number, tokens_in, tokens_out):
    """One more line in a member's log, as Claude Code writes it."""
    log = company.home.parent / "logs" / name / ".claude" / "projects" / "atlas" / "session.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {
        "type": "assistant", "sessionId": "s1", "requestId": f"req_{number}", "timestamp": at,
        "message": {
            "id": f"msg_{number}", "model": "claude-haiku-4-5",
            "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
        },
    }  # fmt: skip
    with log.open("a") as file:
        file.write(json.dumps(line, separators=(",", ":")) + "\n")


def charged(company, *flags):
    logs = str(company.home.parent / "logs")
    return company.tokenroll("usage", "import", logs, "--charge", *flags, "--json")["charge"]


def credits_of(amount):
    assert amount["unit"] == "credits"
    return amount["amount"]


def test_a_log_is_charged_once_and_its_growth_once_while_the_gateway_serves(company):
    logged(company, "Ada", 1, 200_000, 40_000)
    with company.moves("Ada", 0):
        asked = charged(company)
    assert asked["members"] == []
    (left_out,) = asked["not_charged"]
    assert (left_out["member"], left_out["reason"], left_out["event_count"]) == (
        "Ada",
        "of a seat, not billed by use",
        1,
    )

    with company.moves("Ada", 0):
        tried = charged(company, "--seats", "--dry-run")
    assert credits_of(tried["charged"]) == "0.400000000"
    with company.moves("Ada", 400_000_000):
        done = charged(company, "--seats")
    assert credits_of(done["charged"]) == "0.400000000"
    with company.moves("Ada", 0):
        again = charged(company, "--seats")
    assert (credits_of(again["charged"]), credits_of(again["before"])) == ("0.000000000", "0.400000000")

    logged(company, "Ada", 2, 100_000, 0)
    with company.moves("Ada", 0):
        tried = charged(company, "--seats", "--dry-run")
    assert credits_of(tried["charged"]) == "0.100000000"
    with company.moves("Ada", 100_000_000):
        charged(company, "--seats")
    assert company.wallet("Ada").left == 9_500_000_000
    company.ledger_verify()


def test_what_no_lot_can_pay_the_company_carries_and_calls_go_on(company):
    logged(company, "Bo", 3, 1_500_000, 0)
    done = charged(company, "--seats")
    assert (credits_of(done["charged"]), credits_of(done["carried"])) == ("1.500000000", "0.500000000")
    bo = company.wallet("Bo")
    assert (bo.left, bo.spent, bo.company_carried) == (0, CREDIT, 500_000_000)
    assert (company.me("Bo").left, company.me("Bo").spent) == (0, CREDIT)
    company.openai("Ada").chat.completions.create(
        model="gpt-4o-mini", max_completion_tokens=50, messages=[{"role": "user", "content": "go on"}]
    )
    company.prove()
    assert company.me("Ada").left == company.wallet("Ada").left
    told = company.tokenroll("usage", "charges", "Bo", "--json")
    assert [(one["name"], one["model"], one["paid"]["amount"]) for one in told] == [
        ("Bo", "claude-haiku-4-5", "1.000000000")
    ]
    company.ledger_verify()


def test_nobody_who_is_a_member_is_named(company):
    logged(company, "Zoe", 4, 1_000_000, 0)
    done = charged(company, "--seats")
    assert [(one["member"], one["reason"]) for one in done["not_charged"]] == [("Zoe", "of nobody who is a member")]
    assert credits_of(done["charged"]) == "0.000000000"
