"""A wall clock that is set forward and back by hours, and a day that passes in seconds: no balance moves, nothing is lost."""

import openai
import pytest

from tests.chaos.shim import Faults
from tests.company import Company
from tokenroll.store.database import open_reader

pytestmark = pytest.mark.timeout(180)
CREDIT = 1_000_000_000
HOUR = 3_600_000_000
CALL_NANOS = 19 * 150 + 12 * 600


def ask(company, name="Ada"):
    return company.openai(name).chat.completions.with_raw_response.create(
        model="gpt-4o-mini", max_tokens=20, messages=[{"role": "user", "content": "Hello there!"}],
        extra_headers={"x-sim-output-tokens": "12"},
    )  # fmt: skip


@pytest.mark.parametrize("durability", ["synced", "written"])
def test_a_clock_that_is_set_by_hours_moves_no_money(tmp_path, durability):
    """A gateway that starts while it is behind the grant's own date says when the credits come; when it is right again they are there."""
    faults = Faults(tmp_path / "faults")
    with Company(tmp_path / "home", durability=durability, environment=faults.environment) as company:
        company.hire("Ada")
        calls = 0
        for step in (0, 3 * HOUR, -5 * HOUR, 32 * HOUR, -30 * HOUR, 700 * HOUR, -700 * HOUR):
            faults.step_clock(step)
            for _ in range(5):
                ask(company)
            calls += 5
            company.quiet()
            assert company.wallet("Ada").spent == calls * CALL_NANOS
        company.end("gateway")
        faults.step_clock(-4 * HOUR)
        company.end("ledger")
        company.start_ledger()
        company.start_gateway()
        with pytest.raises(openai.RateLimitError, match="more credits arrive at"):
            ask(company)
        faults.step_clock(4 * HOUR)
        ask(company)
        company.prove()
        assert company.ledger_verify()["holds"] is True
        assert company.wallet("Ada").spent == 36 * CALL_NANOS
        assert company.wallet("Ada").left == 100 * CREDIT - 36 * CALL_NANOS
        closed = [at for (at,) in rows(company, "SELECT closed_at FROM batches ORDER BY number")]
        assert len(closed) > 10
        assert closed == sorted(closed)


def rows(company, query):
    reader = open_reader(company.settings.ledger_place)
    with reader.connect() as connection:
        found = list(connection.exec_driver_sql(query).all())
    reader.dispose()
    return found


def test_what_expired_by_a_wrong_clock_is_not_spent_twice_when_it_is_set_right(tmp_path):
    """The plan's credits live for a day. The clock leaps two days, so they are gone; set back, what is left is what was not spent."""
    faults = Faults(tmp_path / "faults")
    with Company(tmp_path / "home", environment=faults.environment) as company:
        company.hire("Ada", CREDIT, lifetime="1d")
        ask(company)
        company.quiet()
        faults.step_clock(48 * HOUR)
        with pytest.raises(openai.RateLimitError, match="No more credits are scheduled to arrive"):
            ask(company)
        faults.step_clock(-48 * HOUR)
        company.end("gateway")
        company.start_gateway()
        ask(company)
        company.prove()
        assert company.wallet("Ada").spent == 2 * CALL_NANOS
        assert company.wallet("Ada").left <= CREDIT - 2 * CALL_NANOS
        assert company.ledger_verify()["holds"] is True


def test_a_day_of_virtual_time_with_a_kill_in_every_sixth_hour(tmp_path):
    """24 hours over a midnight, on the product's own clock: a limit turns, suspense is kept, and every hour's calls are booked once."""
    with Company(tmp_path / "home", moving_clock=True) as company:
        company.clock_to_hour(10)
        company.hire("Ada")
        company.hire("Bo")
        company.do("limit.create", name="daily", member="Bo", window="day", cap=20 * CALL_NANOS)
        refused = 0
        for hour in range(24):
            for _ in range(2):
                ask(company)
            for _ in range(3):
                try:
                    ask(company, "Bo")
                except openai.RateLimitError:
                    refused += 1
            if hour % 6 == 5:
                company.quiet()
                role = ("gateway", "ledger")[hour // 6 % 2]
                company.end(role)
                getattr(company, f"start_{role}")()
            company.clock.advance(HOUR)
        company.prove()
        assert company.ledger_verify()["holds"] is True
        assert company.wallet("Ada").spent == 48 * CALL_NANOS
        # 20 of the first day's 42 calls at most (a call is held at its bound first), and 20 of the second's 30
        assert company.wallet("Bo").spent == (72 - refused) * CALL_NANOS
        assert 36 * CALL_NANOS <= company.wallet("Bo").spent <= 40 * CALL_NANOS
        assert company.me("Bo") == company.wallet("Bo")
