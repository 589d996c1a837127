"""The official packages' own tests of chat completions, messages and models, at our gateway and straight at the simulated provider.

What the provider itself fails (their suites call resources that it does not have, with placeholders such as `max_tokens=0`) says
nothing about us; what passes there must pass here, but for what the gateway refuses on purpose, which is named below.
"""

import datetime
import platform

import pytest

from tests.company import COMPANY_KEY, Company
from tests.judges import official
from tests.judges.official import ANTHROPIC, OPENAI, Outcomes, Suite
from tokenroll.testing import SimulatedProvider

# Literals of the suites' own conftest.py.
OPENAI_KEY = "My API Key"
ANTHROPIC_KEY = "my-anthropic-api-key"
PLAIN_CREATES = "create and not all_params"

NOT_SERVED = "not served: it would reach the provider without a hold"
NO_BOUND = "`container`: code on the provider's side has no bound (call_not_bounded)"
REFUSED_ON_PURPOSE = {
    "test_method_count_tokens": NOT_SERVED,
    "test_method_count_tokens_with_all_params": NOT_SERVED,
    "test_raw_response_count_tokens": NOT_SERVED,
    "test_streaming_response_count_tokens": NOT_SERVED,
    "test_method_create_with_all_params_overload_1": NO_BOUND,
    "test_method_create_with_all_params_overload_2": NO_BOUND,
}
"""Of Anthropic's suite; of OpenAI's nothing."""


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    try:
        official.prepare()
    except official.SuitesUnavailableError as error:
        pytest.skip(f"the official suites cannot be had here: {error}")
    with Company(tmp_path_factory.mktemp("acme") / "home") as running:
        running.hire("Ada", 10**12, key=OPENAI_KEY)
        running.key("Ada", ANTHROPIC_KEY)
        yield running


def base_url(suite: Suite, port: int) -> str:
    """OpenAI's ends in /v1, Anthropic's does not."""
    return f"http://127.0.0.1:{port}" + ("/v1" if suite is OPENAI else "")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("suite", "count"), [(OPENAI, 30), (ANTHROPIC, 30)], ids=["openai", "anthropic"])
def test_it_passes_every_plain_create_of_the_official_suites(company, suite, count):
    """Whole answers and streams, each plain, raw and streamed to the caller: 6 tests, for 5 clients that are loose or strict,
    synchronous or not, and over aiohttp.
    """
    outcomes = official.run(suite, base_url(suite, company.port), only=PLAIN_CREATES, files=suite.files[:1])
    assert outcomes.reasons == {}
    assert len(outcomes.passed()) == count
    company.prove()


@pytest.mark.judge
@pytest.mark.timeout(900)
def test_it_passes_what_the_provider_passes_but_for_what_is_refused_on_purpose(company):
    found: dict[str, tuple[Outcomes, Outcomes]] = {}
    for suite in (OPENAI, ANTHROPIC):
        with SimulatedProvider(seed=7) as provider:
            straight = official.run(suite, base_url(suite, provider.port))
        found[suite.package] = (straight, official.run(suite, base_url(suite, company.port)))
    write_result(found)
    company.prove()
    lost = {package: straight.passed() - ours.passed() for package, (straight, ours) in found.items()}
    assert lost["openai"] == set()
    assert {name.rpartition(".")[2].partition("[")[0] for name in lost["anthropic"]} == set(REFUSED_ON_PURPOSE)


def write_result(found: dict[str, tuple[Outcomes, Outcomes]]) -> None:
    """A dated page: by file what passed, was skipped and failed, side by side, and each difference with its reason."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    lines = [
        f"# The official clients' own suites, {today}", "",
        f"openai {OPENAI.version}, anthropic {ANTHROPIC.version}; Python {platform.python_version()}. Each suite ran straight at the",
        "simulated provider, and at the gateway in front of it; what the provider itself fails says nothing about the gateway.", "",
        "| suite | file | passed: provider | gateway | skipped: provider | gateway | failed: provider | gateway |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for suite in (OPENAI, ANTHROPIC):
        straight, ours = found[suite.package]
        for file in suite.files:
            module = file.removeprefix("tests/api_resources/").removesuffix(".py").replace("/", ".")
            cells = [str(one.count(module, end)) for end in ("passed", "skipped", "failed") for one in (straight, ours)]
            lines.append(f"| {suite.package} | {file} | {' | '.join(cells)} |")
    lines += ["", "Passed at the provider and not at the gateway:", ""]
    for package, (straight, ours) in found.items():
        lost = sorted(straight.passed() - ours.passed())
        lines += [f"- {package} `{name}`: {why(name, ours)}" for name in lost] or [f"- {package}: none"]
    lines += ["", "Passed at the gateway and not at the provider:", ""]
    for package, (straight, ours) in found.items():
        won = sorted(ours.passed() - straight.passed())
        lines += [f"- {package} `{name}`" for name in won] or [f"- {package}: none"]
    folder = official.ROOT / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"official-clients-{today}.md").write_text("\n".join(lines) + "\n")


def why(name: str, ours: Outcomes) -> str:
    """On purpose, or what the test said."""
    return REFUSED_ON_PURPOSE.get(name.rpartition(".")[2].partition("[")[0], ours.reasons[name])


def test_the_provider_is_never_shown_a_client_s_key(company):
    """The simulated provider refuses every key but the company's, so each pass above says that the client's own was replaced."""
    assert COMPANY_KEY not in {OPENAI_KEY, ANTHROPIC_KEY, *company.keys.values()}
    assert company.provider.state()["refused"] == 0
