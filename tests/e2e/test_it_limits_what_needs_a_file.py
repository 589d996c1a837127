"""The scopes at the two routes that need a file first, batches of a file and fine-tuning jobs, as `test_it_fails_like_no_peer.py` has them at all others."""

import json

import pytest

from tests.company import Company
from tests.e2e.routes import CHAT, AtOnce, Route, asked
from tests.e2e.test_it_fails_like_no_peer import SCOPES, TAGGED, is_full_denial, key_of, windows

MODEL = "gpt-4o-mini"
LINE = {"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
EXAMPLE = {"messages": [{"role": "user", "content": "How much is left?"}, {"role": "assistant", "content": "A third."}]}


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("files") / "home", moving_clock=True) as running:
        running.clock_to_hour(1)
        running.do("department.create", name="Ledgers", parent="Finance")
        running.do("ratecard.set", model=MODEL, prices={"training": "3"})
        running.hire("Ada", department="Ledgers")
        yield running
        running.until_found("Ada")
        running.prove()


@pytest.fixture(scope="module")
def routes(company):
    """Both routes, each with a file of Ada's."""
    files = company.openai().files
    lines = files.create(file=("in.jsonl", json.dumps(LINE).encode()), purpose="batch").id
    examples = files.create(file=("examples.jsonl", json.dumps(EXAMPLE).encode() + b"\n"), purpose="fine-tune").id
    supervised = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    return [
        Route(
            "/v1/batches",
            {"input_file_id": lines, "endpoint": LINE["url"], "completion_window": "24h"},
            goes_on=True,
        ),
        Route("/v1/fine_tuning/jobs", {"model": MODEL, "training_file": examples, "method": supervised}, goes_on=True),
    ]


@pytest.fixture
def limit(company):
    """Makes a limit of calls for one scope; it is removed again."""
    made: list[str] = []

    def create(scope: str, cap: int) -> str:
        subjects: dict[str, dict[str, str]] = {
            "company": {}, "parent department": {"department": "Finance"}, "department": {"department": "Ledgers"},
            "member": {"member": "Ada"}, "key": {"key": key_of(company, "Ada")}, "model": {"model": MODEL}, "tag": {"tag": "close"},
        }  # fmt: skip
        name = f"{scope} limit"
        company.do("limit.create", name=name, measure="calls", cap=cap, window="day", **subjects[scope])
        made.append(name)
        return name

    yield create
    for name in made:
        company.do("limit.remove", limit=name)


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_counts_what_needs_a_file_and_then_refuses_it_in_words(company, limit, routes, scope):
    """T2, T7, T39, T45."""
    name, key = limit(scope, 2), company.keys["Ada"]
    assert [asked(company.port, route, key, **TAGGED).status for route in routes] == [200, 200]
    company.until_found("Ada")
    assert windows(company, name)[0] == 2
    before = company.wallet("Ada")
    for route in routes:
        answer = asked(company.port, route, key, **TAGGED)
        said = (answer.status, answer.code, answer.headers["x-should-retry"], answer.headers["x-tokenroll-limit"])
        assert said == (429, "limit_reached", "false", name)
        assert is_full_denial(answer.words, name)
    assert company.wallet("Ada") == before


@pytest.mark.parametrize("scope", SCOPES)
def test_of_many_at_once_exactly_as_many_pass_as_the_scope_has_room_for(company, limit, routes, scope):
    """T1, T2, T13."""
    name = limit(scope, 3)
    answers = AtOnce(company.port, [(route, company.keys["Ada"]) for route in routes * 4], **TAGGED).finish()
    assert sorted(answer.status for answer in answers if answer is not None) == [200] * 3 + [429] * 5
    company.until_found("Ada")
    assert windows(company, name)[0] == 3
