"""The official packages' own tests of the endpoints that are served, at our gateway and straight at the simulated provider.

Each test that fails at the gateway is named below with what was said to it, and each that fails for the provider's sake was told by
the gateway what the provider says. What the suites ask for by ids of their own making is stored first (`seeds.py`). Many tests reach no
server at all: the client refuses, or the test answers itself; they are counted apart.
"""

import datetime
import platform
import re
from typing import NamedTuple

import anthropic
import openai
import pytest

from tests.company import COMPANY_KEY, Company
from tests.judges import official, seeds
from tests.judges.official import ANTHROPIC, OPENAI, USAGE_REPORTS, Outcomes, Suite
from tokenroll.testing import SimulatedProvider

# Literals of the suites' own conftest.py.
OPENAI_KEY = "My API Key"
OPENAI_ADMIN_KEY = "My Admin API Key"
ANTHROPIC_KEY = "my-anthropic-api-key"
PLAIN_CREATES = "create and not all_params"


class Refused(NamedTuple):
    """What a test is told that is refused, in words that name the field or the request, and why that is so."""

    said: str
    why: str


def unbounded(field: str, why: str) -> Refused:
    return Refused(f"('{field}') cannot be bounded", why)


CODE = unbounded("container", "code that runs on the provider's side is billed by its hours, which nothing bounds")
SUMMARY = unbounded("compaction", "the model runs once more, over the whole context, when the provider sees fit")
PROMPT = Refused(
    "A stored prompt ('prompt') may switch on tools",
    "what it switches on costs, and cannot be seen before the call is sent",
)
AUTHOR = unbounded(
    "svg",
    "a further model writes the picture; what it may use, no field bounds, and it has no place on a card of pictures",
)
NO_MODEL = Refused("Missing required parameter: 'model'", "a call that names no model has no price")
NO_OUTPUT = Refused("'max_completion_tokens' must be between 1 and", "a cap of nothing is none, and OpenAI refuses it")
LIST = Refused("A list would show what everybody has stored", "it would show everybody's")
DELETE = Refused("Nothing that is stored is deleted through here", "what is gone cannot be asked what it cost")
COMPLETIONS = Refused("There is no /v1/chat/completions/completion_id here", "stored chat completions are not served")
COMPLETION_LIST = Refused("Calls are made with POST", "stored chat completions are not served")
VARIATION = Refused("There is no /v1/images/variations here", "variations are not among the endpoints that are served")
COMPACT = Refused("Compaction is not served here", "nothing bounds what the provider reads and writes for it")
MODEL_DELETE = Refused("This is read with GET", "models are the company's, and are not deleted through here")
REFUSED_ON_PURPOSE = {
    "openai": {
        "chat.test_completions.create_with_all_params_overload_1": NO_OUTPUT,
        "chat.test_completions.create_with_all_params_overload_2": NO_OUTPUT,
        "chat.test_completions.delete": COMPLETIONS,
        "chat.test_completions.list": COMPLETION_LIST,
        "chat.test_completions.list_with_all_params": COMPLETION_LIST,
        "chat.test_completions.retrieve": COMPLETIONS,
        "chat.test_completions.update": COMPLETIONS,
        "fine_tuning.test_jobs.list": LIST,
        "fine_tuning.test_jobs.list_with_all_params": LIST,
        "test_batches.list": LIST,
        "test_batches.list_with_all_params": LIST,
        "test_files.delete": DELETE,
        "test_files.list": LIST,
        "test_files.list_with_all_params": LIST,
        "test_images.create_variation": VARIATION,
        "test_images.create_variation_with_all_params": VARIATION,
        "test_images.edit_with_all_params_overload_1": AUTHOR,
        "test_images.edit_with_all_params_overload_2": AUTHOR,
        "test_images.generate_overload_1": NO_MODEL,
        "test_images.generate_overload_2": NO_MODEL,
        "test_images.generate_with_all_params_overload_1": AUTHOR,
        "test_images.generate_with_all_params_overload_2": AUTHOR,
        "test_models.delete": MODEL_DELETE,
        "test_responses.compact": COMPACT,
        "test_responses.compact_with_all_params": COMPACT,
        "test_responses.create_overload_1": NO_MODEL,
        "test_responses.create_overload_2": NO_MODEL,
        "test_responses.create_with_all_params_overload_1": PROMPT,
        "test_responses.create_with_all_params_overload_2": PROMPT,
        "test_responses.delete": DELETE,
    },
    "anthropic": {
        "beta.messages.test_batches.create_with_all_params": SUMMARY,
        "beta.messages.test_batches.delete": DELETE,
        "beta.messages.test_batches.delete_with_all_params": DELETE,
        "beta.messages.test_batches.list": LIST,
        "beta.messages.test_batches.list_with_all_params": LIST,
        "beta.test_messages.create_with_all_params_overload_1": SUMMARY,
        "beta.test_messages.create_with_all_params_overload_2": SUMMARY,
        "messages.test_batches.create_with_all_params": CODE,
        "messages.test_batches.delete": DELETE,
        "messages.test_batches.delete_with_all_params": DELETE,
        "messages.test_batches.list": LIST,
        "messages.test_batches.list_with_all_params": LIST,
        "test_messages.create_with_all_params_overload_1": CODE,
        "test_messages.create_with_all_params_overload_2": CODE,
    },
}
"""By what is asked for, however its answer is read. A test that sends every field there is stops at the first that is refused, so there
may be more; the others are in docs/endpoints.md."""


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    try:
        official.prepare()
    except official.SuitesUnavailableError as error:
        pytest.skip(f"the official suites cannot be had here: {error}")
    folder = tmp_path_factory.mktemp("acme")
    provider = SimulatedProvider(seed=7, api_key=COMPANY_KEY, prices_path=seeds.prices_of_suites(folder))
    with Company(folder / "home", provider=provider) as running:
        running.hire("Ada", 10**12, key=OPENAI_KEY)
        running.key("Ada", ANTHROPIC_KEY)
        running.key("Ada", OPENAI_ADMIN_KEY, scope="admin")
        running.start_web()
        yield running


def base_url(suite: Suite, port: int) -> str:
    """OpenAI's ends in /v1, Anthropic's does not."""
    return f"http://127.0.0.1:{port}" + ("/v1" if suite is OPENAI else "")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("suite", "count"), [(OPENAI, 30), (ANTHROPIC, 30)], ids=["openai", "anthropic"])
def test_it_passes_every_plain_create_of_the_official_suites(company, suite, count):
    """Whole answers and streams, each plain, raw and streamed to the caller: 6 tests, for 5 clients that are loose or strict,
    synchronous or not, and over aiohttp.

    The simulated provider refuses every key but the company's, so each pass says that the client's own was replaced.
    """
    assert COMPANY_KEY not in {OPENAI_KEY, ANTHROPIC_KEY, OPENAI_ADMIN_KEY, *company.keys.values()}
    refused = company.provider.state()["refused"]
    outcomes = official.run(suite, base_url(suite, company.port), only=PLAIN_CREATES, files=suite.files[:1])
    assert outcomes.reasons == {}
    assert len(outcomes.passed() & outcomes.asked) == count
    assert company.provider.state()["refused"] == refused
    company.prove()


@pytest.mark.judge
@pytest.mark.timeout(900)
def test_what_fails_at_the_gateway_is_refused_on_purpose_or_what_the_provider_says_itself(company, tmp_path):
    company.do("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    for name in seeds.PLACEHOLDER_MODELS["anthropic"]:
        card = {"provider": "anthropic", "model": name, "prices": {"standard": {"input": "3", "output": "15"}}}
        company.do("ratecard.set", card=card)
    sides: dict[str, list[Outcomes]] = {suite.package: [] for suite in (OPENAI, ANTHROPIC)}
    with SimulatedProvider(seed=7, prices_path=seeds.prices_of_suites(tmp_path)) as provider:
        straight = openai.OpenAI(base_url=provider.openai_base_url, api_key=COMPANY_KEY)
        for client, port, stored_at in (
            (straight, provider.port, provider.base_url),
            (company.openai(OPENAI_KEY), company.port, company.provider.base_url),
        ):
            seeds.store(client, anthropic.Anthropic(base_url=stored_at, api_key=COMPANY_KEY))
            for suite in (OPENAI, ANTHROPIC):
                sides[suite.package].append(official.run(suite, base_url(suite, port)))
    found = {package: (two[0], two[1]) for package, two in sides.items()}
    reports = official.run(OPENAI, base_url(OPENAI, company.port), files=[USAGE_REPORTS])
    page = write_result(found, reports)
    company.until_found("Ada")
    company.prove()
    assert (reports.reasons, len(reports.passed() & reports.asked)) == ({}, 240)
    wrong = [line for package, two in found.items() for line in differences(package, *two)]
    if wrong:
        pytest.fail(
            f"{len(wrong)} to look at; {page} has both sides of every file:\n" + "\n".join(wrong), pytrace=False
        )


def differences(package: str, straight: Outcomes, ours: Outcomes) -> list[str]:
    """What differs from REFUSED_ON_PURPOSE, each in a line that says what to do."""
    refused = REFUSED_ON_PURPOSE[package]
    theirs, lost = straight.failed(), ours.failed()
    lines = [
        f"{package} {name} fails at the gateway. Mend the gateway, or, if it is refused on purpose, add it to REFUSED_ON_PURPOSE with its "
        f"field and the reason. It was told: {shown(said)}"
        for name, said in lost.items()
        if name not in refused and plainly(said) != plainly(theirs.get(name, set()))
    ]
    lines += [
        f"{package} {name} is in REFUSED_ON_PURPOSE for {refused[name].said!r} and is refused for something else. It was told: {shown(said)}"
        for name, said in lost.items()
        if name in refused and not all(refused[name].said in one for one in said)
    ]
    return lines + [
        f"{package} {name} is in REFUSED_ON_PURPOSE and is no longer lost. Take it out."
        for name in refused
        if name not in lost
    ]


def plainly(said: set[str]) -> set[str]:
    """What was said without the number of the request, which differs each time."""
    return {re.sub("req_[0-9a-f]+", "req", one) for one in said}


def shown(said: set[str]) -> str:
    return " | ".join(sorted(said))


def told(name: str, reason: str) -> Outcomes:
    """Outcomes of one test that failed."""
    return Outcomes(ended={name: "failed"}, reasons={name: reason})


def test_a_difference_says_what_to_do_about_it(monkeypatch):
    svg, other = "test_images.edit_with_all_params_overload_1", "test_images.edit_with_all_params_overload_2"
    monkeypatch.setitem(REFUSED_ON_PURPOSE, "openai", {svg: AUTHOR, other: AUTHOR})
    name = "test_images.TestAsyncImages.test_method_edit_with_all_params_overload_1[loose]"
    stranger = "test_images.TestImages.test_raw_response_edit_overload_1[strict]"
    refusal = "Error code: 400 - The cost of a further model ('svg') cannot be bounded before the call is sent."
    theirs = Outcomes()

    def starts(ours):
        return [line.partition(". ")[0].partition(" It was told")[0] for line in differences("openai", theirs, ours)]

    both = told(name, refusal)
    both.ended["test_images.TestImages.test_method_edit_with_all_params_overload_2[loose]"] = "failed"
    both.reasons["test_images.TestImages.test_method_edit_with_all_params_overload_2[loose]"] = refusal
    assert starts(both) == []
    no_longer = f"openai {other} is in REFUSED_ON_PURPOSE and is no longer lost"
    assert starts(told(name, refusal)) == [no_longer]
    assert starts(told(name, "Error code: 500"))[0].startswith(f"openai {svg} is in REFUSED_ON_PURPOSE for")
    assert starts(told(stranger, "Error code: 400"))[0] == "openai test_images.edit_overload_1 fails at the gateway"
    same = told(stranger, "Error code: 400 - no, req_0a")
    ours = told(stranger, "Error code: 400 - no, req_0b")
    assert not any("edit_overload_1 fails" in line for line in differences("openai", same, ours))


@pytest.mark.timeout(600)
def test_it_passes_the_official_suite_of_usage_reports_with_the_strict_client(company):
    """Twelve reports, each with one parameter and with all, raw and streamed: the synchronous client's tests."""
    outcomes = official.run(OPENAI, base_url(OPENAI, company.port), only="TestUsage and strict", files=[USAGE_REPORTS])
    assert outcomes.reasons == {}
    assert len(outcomes.passed()) == 48


def write_result(found: dict[str, tuple[Outcomes, Outcomes]], reports: Outcomes) -> str:
    """A dated page: by file what a server answered and what of it passed, side by side, and each difference with its reason. Its name."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [
        f"# The official clients' own suites, {today}", "",
        f"openai {OPENAI.version}, anthropic {ANTHROPIC.version}; Python {platform.python_version()}. Each suite ran straight at the",
        "simulated provider, and at the gateway in front of it. Counted are the tests that a server answered; the others, where the client",
        "refuses or the test answers itself, pass anywhere.", "",
        "| suite | file | tests | reach no server | answered by the provider | passed | answered by the gateway | passed | failed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    rows = [(suite.package, file, *found[suite.package]) for suite in (OPENAI, ANTHROPIC) for file in suite.files]
    for package, file, straight, ours in [*rows, (OPENAI.package, USAGE_REPORTS, Outcomes(), reports)]:
        theirs, here = straight.counts(file), ours.counts(file)
        cells = (
            here["all"],
            here["alone"],
            theirs["asked"],
            theirs["passed"],
            here["asked"],
            here["passed"],
            here["failed"],
        )
        lines.append(f"| {package} | {file} | {' | '.join(map(str, cells))} |")
    lines += ["", "Usage reports are answered by the gateway itself: no provider stands behind them.", ""]
    lines += ["Failed at the gateway:", "", "| suite | asked for | passes at the provider | why |", "|---|---|---|---|"]
    for package, (straight, ours) in found.items():
        refused, theirs_failed = REFUSED_ON_PURPOSE[package], straight.failed()
        for name, said in sorted(ours.failed().items()):
            reason = (
                f"on purpose: {refused[name].why} (`{refused[name].said}`)"
                if name in refused
                else f"told the same: {shown(plainly(said))}"
                if plainly(said) == plainly(theirs_failed.get(name, set()))
                else f"not on purpose. It was told: {shown(said)}"
            )
            lines.append(f"| {package} | `{name}` | {'no' if name in theirs_failed else 'yes'} | {reason} |")
    lines += ["", "Passed at the gateway and not at the provider:", ""]
    for package, (straight, ours) in found.items():
        won = sorted(ours.passed() - straight.passed())
        lines += [f"- {package} `{name}`" for name in won] or [f"- {package}: none"]
    folder = official.ROOT / "results"
    folder.mkdir(exist_ok=True)
    page = folder / f"official-clients-{today}.md"
    page.write_text("\n".join(lines) + "\n")
    return str(page.relative_to(official.ROOT))
