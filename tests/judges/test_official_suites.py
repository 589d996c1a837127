"""The official packages' own tests of the endpoints that are served, at our gateway and straight at the simulated provider.

What the provider itself fails (their suites call resources that it does not have, with placeholders such as `max_tokens=0`) says
nothing about us; what passes there must pass here, but for what the gateway refuses on purpose, which is named below.
"""

import datetime
import json
import platform

import openai
import pytest

from tests.company import COMPANY_KEY, Company
from tests.judges import official
from tests.judges.official import ANTHROPIC, FINE_TUNING, OPENAI, STORED, USAGE_REPORTS, Outcomes, Suite, plain_name
from tokenroll.testing import SimulatedProvider

# Literals of the suites' own conftest.py.
OPENAI_KEY = "My API Key"
OPENAI_ADMIN_KEY = "My Admin API Key"
ANTHROPIC_KEY = "my-anthropic-api-key"
PLAIN_CREATES = "create and not all_params"

CODE = ("container", "code that runs on the provider's side is billed by its hours, which nothing bounds")
SUMMARY = ("compaction", "the model runs once more, over the whole context, when the provider sees fit")
AUTHOR = (
    "svg",
    "a further model writes the picture; what it may use, no field bounds, and it has no place on a card of pictures",
)
REFUSED_ON_PURPOSE = {
    "openai": {
        "test_images.test_method_edit_with_all_params_overload_1": AUTHOR,
        "test_images.test_method_edit_with_all_params_overload_2": AUTHOR,
    },
    "anthropic": {
        "beta.messages.test_batches.test_method_create_with_all_params": SUMMARY,
        "beta.test_messages.test_method_create_with_all_params_overload_1": SUMMARY,
        "beta.test_messages.test_method_create_with_all_params_overload_2": SUMMARY,
        "messages.test_batches.test_method_create_with_all_params": CODE,
        "test_messages.test_method_create_with_all_params_overload_1": CODE,
        "test_messages.test_method_create_with_all_params_overload_2": CODE,
    },
}
"""The field for which a test is refused, by name and as `call_not_bounded`, and why. A test that sends every field there is stops at
the first of those, so there may be more; the others that are refused are in docs/endpoints.md."""


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    try:
        official.prepare()
    except official.SuitesUnavailableError as error:
        pytest.skip(f"the official suites cannot be had here: {error}")
    with Company(tmp_path_factory.mktemp("acme") / "home") as running:
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
    assert len(outcomes.passed()) == count
    assert company.provider.state()["refused"] == refused
    company.prove()


@pytest.mark.judge
@pytest.mark.timeout(900)
def test_it_passes_what_the_provider_passes_but_for_what_is_refused_on_purpose(company):
    found: dict[str, tuple[Outcomes, Outcomes]] = {}
    for suite in (OPENAI, ANTHROPIC):
        with SimulatedProvider(seed=7) as provider:
            straight = official.run(suite, base_url(suite, provider.port))
        found[suite.package] = (straight, official.run(suite, base_url(suite, company.port)))
    page = write_result(found)
    company.prove()
    wrong = [
        line for package, (straight, ours) in found.items() for line in differences(package, straight.lost_to(ours))
    ]
    if wrong:
        pytest.fail(
            f"{len(wrong)} to look at; {page} has both sides of every file:\n" + "\n".join(wrong), pytrace=False
        )


def differences(package: str, lost: dict[str, str]) -> list[str]:
    """What differs from REFUSED_ON_PURPOSE, each in a line that says what to do."""
    refused = REFUSED_ON_PURPOSE[package]
    lines = [
        f"{package} {name} passes at the provider and fails at the gateway. Mend the gateway, or, if it is refused on purpose, add it to "
        f"REFUSED_ON_PURPOSE with its field and the reason. It said: {said}"
        for name, said in lost.items()
        if name not in refused
    ]
    lines += [
        f"{package} {name} is in REFUSED_ON_PURPOSE for {refused[name][0]!r} and is refused for something else. It said: {said}"
        for name, said in lost.items()
        if name in refused and f"('{refused[name][0]}') cannot be bounded" not in said
    ]
    return lines + [
        f"{package} {name} is in REFUSED_ON_PURPOSE and is no longer lost. Take it out."
        for name in refused
        if name not in lost
    ]


def test_a_difference_says_what_to_do_about_it():
    name = "test_images.test_method_edit_with_all_params_overload_1"
    refused = "Error code: 400 - The cost of a further model ('svg') cannot be bounded before the call is sent."
    other = name.replace("_1", "_2")
    assert differences("openai", {name: refused, other: refused}) == []
    assert [
        line.partition(". ")[0] for line in differences("openai", {name: "malformed_form", "test_x": "broken"})
    ] == [
        "openai test_x passes at the provider and fails at the gateway",
        f"openai {name} is in REFUSED_ON_PURPOSE for 'svg' and is refused for something else",
        f"openai {other} is in REFUSED_ON_PURPOSE and is no longer lost",
    ]


def with_a_job(client):
    """The file and the job that the suite asks for, made by that client."""
    line = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}\n'
    named = {"x-sim-name": "file-abc123"}
    client.files.create(file=("examples.jsonl", line), purpose="fine-tune", extra_headers=named)
    named = {"x-sim-name": "ft-AF1WoRqd3aJAHsqc9NY7iL8F", "x-sim-background-ms": "600000"}
    client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file="file-abc123", extra_headers=named)


@pytest.mark.judge
@pytest.mark.timeout(600)
def test_it_passes_what_the_provider_passes_of_the_official_suite_of_fine_tuning_but_lists(company):
    """Jobs begun plain and with every parameter, read, with their events and checkpoints, and the same job cancelled, paused and resumed,
    which an ended one cannot be: raw and streamed to the caller, by 5 clients.
    """
    company.do("ratecard.set", model="gpt-4o-mini", prices={"training": "3"})
    with_a_job(company.openai(OPENAI_KEY))
    ours = official.run(OPENAI, base_url(OPENAI, company.port), files=FINE_TUNING)
    with SimulatedProvider(seed=7) as provider:
        with_a_job(openai.OpenAI(base_url=provider.openai_base_url, api_key=COMPANY_KEY))
        straight = official.run(OPENAI, base_url(OPENAI, provider.port), files=FINE_TUNING)
    assert {name.rpartition(".")[2] for name in straight.lost_to(ours)} == {
        "test_method_list", "test_method_list_with_all_params", "test_raw_response_list", "test_streaming_response_list",
    }  # fmt: skip
    passed = [plain_name(name).rpartition(".")[2] for name in ours.passed() if ".test_jobs." in f".{name}"]
    counts = {
        name: passed.count(f"test_method_{name}")
        for name in ("create", "create_with_all_params", "retrieve", "list_events", "cancel")
    }
    assert counts == {"create": 5, "create_with_all_params": 5, "retrieve": 5, "list_events": 5, "cancel": 1}
    company.until_found("Ada")
    company.prove()


@pytest.mark.timeout(600)
def test_it_passes_the_official_suite_of_usage_reports_with_the_strict_client(company):
    """Twelve reports, each with one parameter and with all, raw and streamed: the synchronous client's tests."""
    outcomes = official.run(OPENAI, base_url(OPENAI, company.port), only="TestUsage and strict", files=[USAGE_REPORTS])
    assert outcomes.reasons == {}
    assert len(outcomes.passed()) == 48


@pytest.mark.judge
@pytest.mark.timeout(600)
def test_it_passes_the_official_suite_of_usage_reports(company):
    """Nothing cancels out here: no provider stands behind these answers."""
    outcomes = official.run(OPENAI, base_url(OPENAI, company.port), files=[USAGE_REPORTS])
    assert outcomes.reasons == {}
    assert len(outcomes.passed()) == 240


@pytest.mark.judge
@pytest.mark.timeout(600)
def test_it_passes_the_official_suites_of_files_and_batches(company):
    """But for lists and deleting, which are refused, and a file's content that the suite mocks itself and asks nobody for."""
    client = company.openai(OPENAI_KEY)
    body = {"model": "gpt-4o-mini", "input": "How much is left?", "max_output_tokens": 64}
    line = json.dumps({"custom_id": "one", "method": "POST", "url": "/v1/responses", "body": body}).encode()
    for name in ("file_id", "input_file_id"):
        client.files.create(file=("in.jsonl", line), purpose="batch", extra_headers={"x-sim-name": name})
    client.batches.create(
        input_file_id="input_file_id", endpoint="/v1/responses", completion_window="24h", extra_headers={"x-sim-name": "batch_id"}
    )  # fmt: skip
    only = "not delete and not list and (not content or retrieve_content)"
    outcomes = official.run(OPENAI, base_url(OPENAI, company.port), only=only, files=STORED)
    assert outcomes.reasons == {}
    assert len(outcomes.passed()) == 120
    company.until_found("Ada")
    company.prove()


def write_result(found: dict[str, tuple[Outcomes, Outcomes]]) -> str:
    """A dated page: by file what passed, was skipped and failed, side by side, and each difference with its reason. Its name."""
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
        refused = REFUSED_ON_PURPOSE[package]
        lost = straight.lost_to(ours)
        lines += [
            f"- {package} `{name}`: "
            + ("`{}`, on purpose: {}".format(*refused[name]) if name in refused else f"not on purpose. It said: {said}")
            for name, said in lost.items()
        ] or [f"- {package}: none"]
    lines += ["", "Passed at the gateway and not at the provider:", ""]
    for package, (straight, ours) in found.items():
        won = sorted(ours.passed() - straight.passed())
        lines += [f"- {package} `{name}`" for name in won] or [f"- {package}: none"]
    folder = official.ROOT / "results"
    folder.mkdir(exist_ok=True)
    page = folder / f"official-clients-{today}.md"
    page.write_text("\n".join(lines) + "\n")
    return str(page.relative_to(official.ROOT))
