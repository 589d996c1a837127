"""What an employee reads when a page is not there: their own words, and no second login."""

import time

import pytest
from starlette.testclient import TestClient

from tests.firm import Firm
from tests.postgresql_kit import with_ledger
from tokenroll.app import Reader
from tokenroll.cli.init import make_home
from tokenroll.services.keys import key_hash
from tokenroll.settings import load_settings
from tokenroll.web.application import create_application


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    settings = load_settings(tmp_path_factory.mktemp("pages"))
    make_home(settings, "A small firm", "UTC")
    firm = Firm(time.time_ns() // 1000, settings.database_path)
    firm.hire("Ada")
    secret_hash = key_hash(settings.pepper(), b"tr-ada").hex()
    firm.do("key.create", member="Ada", name="laptop", secret_hash=secret_hash, shown_prefix="tr-")
    reader = Reader(with_ledger(settings))
    with TestClient(create_application(reader), raise_server_exceptions=False) as client:
        yield client
    reader.close()
    firm.connection.close()
    firm.connection.engine.dispose()


def test_it_asks_a_stranger_to_log_in(pages):
    pages.cookies.clear()
    answer = pages.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text
    assert "Log in" in answer.text


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nowhere", "There is no page at this address."),
        ("/me/calls/call_xx", "There is no call of yours at this address. Your calls are listed below your wallet."),
        ("/me/payslips/2998-01", "2998-01 has not begun, so there is no slip of it"),
        ("/me/payslips/2025-01", "the wallet of Ada was opened in "),
    ],
)
def test_it_speaks_to_an_employee_who_is_logged_in(pages, path, says):
    assert pages.post("/login", data={"key": "tr-ada"}, follow_redirects=False).status_code == 303
    answer = pages.get(path)
    assert answer.status_code == 404
    assert says in answer.text
    assert "Log out" in answer.text
    assert "Log in" not in answer.text
    assert "tokenroll wallet" not in answer.text
