"""The whole product on PostgreSQL: the story of a company, and its server stopped under it."""

import http.client
import json
import signal
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from tests.company import Company
from tests.postgresql_kit import migrated, new_database, remove_database, server
from tokenroll.model.instant import MICROS_PER_SECOND, datetime_from_instant
from tokenroll.services.lake_desk import FAILED, LakeDesk, LakeDeskError

CREDIT = 1_000_000_000
DAY = 86_400 * MICROS_PER_SECOND
PASSWORD = "opensesame"


def ask(company: Company, name: str, words: str) -> None:
    company.openai(name).chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": words}], max_completion_tokens=50
    )


def test_a_grant_becomes_a_call_and_a_pay_slip(tmp_path: Path):
    with Company(tmp_path / "home", postgresql=True, moving_clock=True) as company:
        company.hire("Ada", 100 * CREDIT)
        ask(company, "Ada", "Hello")
        company.prove()
        assert not company.settings.database_path.exists()
        assert company.wallet("Ada").spent == 38_500
        assert company.ledger_verify()["counts"]["settlements"] == 1
        cycle = f"{datetime_from_instant(company.clock()).astimezone(UTC):%Y-%m}"
        company.clock.advance(32 * DAY)
        closed = company.do("payrun.close", cycle=cycle)
        assert closed["slip_count"] == 1
        slip = company.tokenroll("payslip", "show", "Ada", cycle, "--json")
        assert slip["spent"] == {"amount": "0.000038500", "unit": "credits"}
        assert company.ledger_verify()["holds"] is True


def test_a_server_that_dies_under_load_loses_and_doubles_nothing(tmp_path: Path):
    with Company(tmp_path / "home", postgresql=True) as company:
        company.hire("Ada", 100 * CREDIT)
        for number in range(40):
            if number == 10:
                server().stop(signal.SIGQUIT)  # as good as a crash: no transaction under way is kept
            if number == 30:
                company.until(lambda: "waiting, because" in company.log("ledger"), "the ledger's word")
                server().start()
            ask(company, "Ada", f"call {number}")
        company.until(lambda: "it goes on" in company.log("ledger"), "the ledger")
        company.prove()
        assert len(company.calls("Ada")) == 40
        assert company.ledger_verify()["counts"]["settlements"] == 40


def test_a_second_ledger_on_the_same_database_is_refused(tmp_path: Path):
    with Company(tmp_path / "home", postgresql=True) as company:
        assert company.ledger_url is not None
        other = tmp_path / "other"
        other.mkdir()
        (other / "config.toml").write_text(f'ledger = "{company.ledger_url.text}"\n')
        (other / "secret").write_bytes((company.home / "secret").read_bytes())
        company.home, mine = other, company.home
        try:
            said = company.tokenroll("department", "create", "Research", "--json", code=1)
        finally:
            company.home = mine
        assert "another ledger writes postgresql://postgres@/ledger_" in said["problem"]["detail"]
        company.do("department.create", name="Research")


def pages(company: Company, path: str, secret: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", company.web_port, timeout=60)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {secret}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def shown_by_the_pages(company: Company) -> list[bytes]:
    """Command line and environment, as the kernel shows them, of the pages' process and of those that it started."""
    web = company._processes["web"].pid
    threads = Path(f"/proc/{web}/task").iterdir()
    started = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return [
        b"".join(Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ"))
        for process in (web, *started)
    ]


def test_the_pages_ask_the_lake_of_their_ledger_and_no_process_shows_its_password(tmp_path: Path):
    """The server of the tests asks nobody for a password, so that any will do."""
    with Company(tmp_path / "home", postgresql=True) as company:
        company.hire("Ada", 100 * CREDIT)
        company.hire("Cleo", 0)
        secret = company.key("Cleo", "tr-cleo-admin", "admin")
        ask(company, "Ada", "Hello")
        company.quiet()
        config = company.home / "config.toml"
        config.write_text(config.read_text().replace("postgres@/", f"postgres:{PASSWORD}@/"))
        company.start_web()
        status, said = pages(company, "/api/usage?by=member&measure=calls,charge", secret)
        charge = {"amount": "0.000038500", "unit": "credits"}
        assert (status, said["rows"]) == (200, [{"member": "Ada", "call_count": 1, "charge": charge}])
        shown = shown_by_the_pages(company)
        assert any(b"lake_answers" in one for one in shown)
        assert not any(PASSWORD.encode() in one for one in shown)
        assert PASSWORD not in company.log("web")


def test_pages_say_that_the_database_of_their_ledger_is_gone(tmp_path: Path):
    place = new_database(migrated())
    remove_database(place)
    with (
        closing(LakeDesk(tmp_path / "lake", place)) as desk,
        pytest.raises(LakeDeskError, match="does not let us in") as caught,
    ):
        desk.ask("quarantined", {})
    assert caught.value.kind == FAILED
