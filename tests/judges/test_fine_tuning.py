"""The official OpenAI client at fine-tuning jobs: a department trains a model, and its pool pays what was trained.

Prices worked with: training gpt-4o-mini costs 3,000 nanos a token. Each example of `FILE` has a question of 17 bytes (5 tokens) and an
answer of 8 bytes (2), and the provider adds 16 for each message: 39 tokens. Its line has 108 bytes, so ten of them are held for 1,080.
"""

import json
import signal
import time

import openai
import pytest

from tests.company import CREDIT, Company

MODEL = "gpt-4o-mini"
LINE = '{"messages": [{"role": "user", "content": "How much is left?"}, {"role": "assistant", "content": "A third."}]}'
FILE = (LINE + "\n").encode() * 10
EPOCH_NANOS = 10 * 39 * 3_000
EPOCH_BOUND_NANOS = 10 * 110 * 3_000


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("training")) as one:
        one.hire("Ada")
        one.do("ratecard.set", model=MODEL, prices={"training": "3"})
        yield one


def stored(company, name="Ada", data=FILE):
    return company.openai(name).files.create(file=("examples.jsonl", data), purpose="fine-tune").id


def supervised(epochs):
    return {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}}


def created(company, name="Ada", *, file="", background_ms=0, **fields):
    client = company.openai(name)
    return client.fine_tuning.jobs.with_raw_response.create(
        model=MODEL,
        training_file=file or stored(company, name),
        extra_headers={"x-sim-background-ms": str(background_ms)},
        **fields,
    )


def held(raw):
    return int(raw.headers["x-tokenroll-hold-max"].replace(".", ""))


def test_a_job_is_charged_what_it_trained_and_no_token_more(company):
    with company.moves("Ada", 2 * EPOCH_NANOS):
        raw = created(company, method=supervised(2), suffix="ours")
        assert raw.parse().status in {"queued", "running"}
        assert "x-tokenroll-cost" not in raw.headers
        company.until_found("Ada")
    jobs = company.openai().fine_tuning.jobs
    job = jobs.retrieve(raw.parse().id)
    assert (job.status, job.trained_tokens) == ("succeeded", 780)
    assert job.fine_tuned_model.startswith("ft:gpt-4o-mini-2024-07-18:sim:ours:")
    assert [one.message for one in jobs.list_events(job.id).data] == [
        "The job has succeeded",
        "Created fine-tuning job",
    ]
    assert len(jobs.checkpoints.list(job.id).data) == 1
    call = company.calls("Ada", 1)[0]
    assert (call["charge_nanos"], call["model"]) == (2 * EPOCH_NANOS, MODEL)


def test_its_hold_is_its_files_bytes_times_its_epochs(company):
    with company.moves("Ada", 0):
        one = created(company, background_ms=60_000, method=supervised(1))
        four = created(company, background_ms=60_000, method=supervised(4))
        both = created(company, background_ms=60_000, method=supervised(1), validation_file=stored(company))
        auto = created(company, background_ms=60_000)
        preference = created(
            company, background_ms=60_000, method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1}}}
        )
        assert held(one) == EPOCH_BOUND_NANOS
        assert held(four) == 4 * EPOCH_BOUND_NANOS
        assert held(both) == held(preference) == 2 * EPOCH_BOUND_NANOS
        assert held(auto) == 50 * EPOCH_BOUND_NANOS
        for raw in (one, four, both, auto, preference):
            assert company.openai().fine_tuning.jobs.cancel(raw.parse().id).status == "cancelled"
        company.until_found("Ada")


def test_pictures_are_held_for_the_most_tokens_that_one_takes(company):
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    line = json.dumps(
        {"messages": [{"role": "user", "content": [picture]}, {"role": "assistant", "content": "A cat."}]}
    )
    with company.moves("Ada", (1_500 + 16 + 2 + 16) * 3_000):
        raw = created(company, file=stored(company, data=line.encode()), method=supervised(1))
        assert held(raw) == (len(line) - 25 + 8_192) * 3_000
        company.until_found("Ada")


def test_what_was_trained_of_a_job_that_failed_or_was_cancelled_is_charged(company):
    with company.moves("Ada", EPOCH_NANOS):
        created(company, method=supervised(3), metadata={"sim_end": "failed", "sim_trained_epochs": "1"})
        company.until_found("Ada")
    with company.moves("Ada", 2 * EPOCH_NANOS):
        raw = created(company, background_ms=60_000, method=supervised(3), metadata={"sim_trained_epochs": "2"})
        company.openai().fine_tuning.jobs.cancel(raw.parse().id)
        company.until_found("Ada")
    with company.moves("Ada", 0):
        created(company, method=supervised(3), metadata={"sim_end": "failed"})
        company.until_found("Ada")


def test_a_job_that_is_paused_keeps_its_hold_and_is_charged_when_it_has_gone_on(company):
    with company.moves("Ada", EPOCH_NANOS):
        raw = created(company, background_ms=1_000, method=supervised(1))
        jobs = company.openai().fine_tuning.jobs
        paused = jobs.with_raw_response.pause(raw.parse().id)
        assert json.loads(paused.text)["status"] == "paused"
        company.until(lambda: company.me("Ada").being_checked == EPOCH_BOUND_NANOS, "the hold in suspense")
        jobs.resume(raw.parse().id)
        company.until_found("Ada")


def test_a_job_that_is_too_dear_is_denied_with_how_it_would_fit_and_nothing_is_sent(company):
    company.hire("Eve", 3 * EPOCH_BOUND_NANOS + 1)
    file = stored(company, "Eve")
    with company.moves("Eve", 0), pytest.raises(openai.RateLimitError) as denied:
        created(company, "Eve", file=file, method=supervised(5))
    assert denied.value.type == "insufficient_quota"
    said = denied.value.message
    assert "has 0.009900001 credits left, and this call may cost up to 0.0165" in said
    assert "It would fit with an n_epochs of 3." in said
    assert "A top-up can be approved by" in said
    with pytest.raises(
        openai.RateLimitError, match=r"names no n_epochs, so it is held for 50 times its file\. It would fit"
    ):
        created(company, "Eve", file=file)
    with company.moves("Eve", 3 * EPOCH_NANOS):
        created(company, "Eve", file=file, method=supervised(3))
        company.until_found("Eve")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"method": {"type": "reinforcement", "reinforcement": {"grader": {}}}}, "billed by the hour"),
        ({"method": {"type": "distilled"}}, "'supervised' or 'dpo'"),
        ({"method": supervised(51)}, "between 1 and 50"),
        ({"hyperparameters": {"n_epochs": "many"}}, "expected an integer"),
        ({"training_file": "../me"}, "no id of a file"),
        ({"extra_body": {"compute": "double"}}, "not known here"),
        ({"model": "gpt-4o"}, "no price for training"),
    ],
)  # fmt: skip
def test_what_nothing_bounds_is_refused_by_name_and_no_job_begins(company, fields, says):
    file = stored(company)
    with company.moves("Ada", 0), pytest.raises(openai.BadRequestError, match=says):
        company.openai().fine_tuning.jobs.create(**{"model": MODEL, "training_file": file, **fields})


def test_a_job_that_its_provider_refuses_costs_nothing_and_its_hold_returns(company):
    company.do("ratecard.set", model="gpt-3.5-turbo-instruct", prices={"training": "3"})
    file = stored(company)
    with company.moves("Ada", 0), pytest.raises(openai.NotFoundError, match="does not exist"):
        company.openai().fine_tuning.jobs.create(
            model="gpt-3.5-turbo-instruct", training_file=file, method=supervised(1)
        )


def test_what_is_answered_is_what_the_specification_says(company, schema):
    with company.moves("Ada", EPOCH_NANOS):
        raw = created(company, method=supervised(1))
        company.until_found("Ada")
    schema("FineTuningJob").validate(json.loads(raw.text))
    jobs = company.openai().fine_tuning.jobs
    job = raw.parse().id
    schema("FineTuningJob").validate(json.loads(jobs.with_raw_response.retrieve(job).text))
    schema("ListFineTuningJobEventsResponse").validate(json.loads(jobs.with_raw_response.list_events(job).text))
    schema("ListFineTuningJobCheckpointsResponse").validate(
        json.loads(jobs.checkpoints.with_raw_response.list(job).text)
    )


def test_a_file_that_is_not_there_is_not_found(company):
    with company.moves("Ada", 0), pytest.raises(openai.NotFoundError, match="has the file"):
        created(company, file="file-unknown")


def test_jobs_are_listed_to_nobody(company):
    with pytest.raises(openai.APIStatusError, match="everybody") as refused:
        company.openai().fine_tuning.jobs.list()
    assert refused.value.status_code == 405


def test_a_trained_model_needs_a_rate_card_of_its_own(company):
    with company.moves("Ada", 0), pytest.raises(openai.NotFoundError, match="has no rate card"):
        company.openai().chat.completions.create(
            model="ft:gpt-4o-mini-2024-07-18:sim:ours:1", messages=[{"role": "user", "content": "Hello"}]
        )


def test_a_department_s_pool_pays_for_its_job(company):
    company.do("pool.create", department="Engineering", name="Engineering pool")
    company.grant("Engineering pool", CREDIT)
    company.hire("Bo", 0, department="Engineering")
    before = company.wallet("Engineering pool")
    created(company, "Bo", method=supervised(2))
    company.until_found("Bo")
    company.prove()
    after = company.wallet("Engineering pool")
    assert (before.left - after.left, after.spent - before.spent, after.being_checked) == (
        2 * EPOCH_NANOS,
        2 * EPOCH_NANOS,
        0,
    )


def test_a_job_is_resumed_only_while_days_of_its_hold_are_left(company):
    four_days_ago = int(time.time()) - 4 * 86_400
    with company.moves("Ada", 0):
        jobs = company.openai().fine_tuning.jobs
        young, old = (
            created(company, background_ms=60_000, method=supervised(1), metadata={"sim_created_at": str(at)})
            .parse()
            .id
            for at in (four_days_ago + 600, four_days_ago - 1)
        )
        for job in (young, old):
            jobs.with_raw_response.pause(job)
        assert jobs.resume(young).status == "running"
        with pytest.raises(openai.ConflictError, match="older than 4 days"):
            jobs.resume(old)
        with pytest.raises(openai.NotFoundError, match="Could not find fine tune"):
            jobs.resume("ftjob-unknown")
        for job in (young, old):
            assert jobs.cancel(job).status == "cancelled"
        company.until_found("Ada")


def test_a_job_that_outlives_both_processes_is_settled_once(tmp_path):
    with Company(tmp_path / "home") as company:
        company.hire("Ada")
        company.do("ratecard.set", model=MODEL, prices={"training": "3"})
        job = created(company, background_ms=1_000, method=supervised(2)).parse().id
        company.openai().fine_tuning.jobs.with_raw_response.pause(job)
        company.until(lambda: company.wallet("Ada").being_checked == 2 * EPOCH_BOUND_NANOS, "the hold in suspense")
        company.end("gateway", signal.SIGKILL)
        company.end("ledger", signal.SIGKILL)
        company.start_ledger()
        company.start_gateway()
        assert company.wallet("Ada").being_checked == 2 * EPOCH_BOUND_NANOS
        company.openai().fine_tuning.jobs.resume(job)
        company.until_found("Ada")
        company.prove()
        assert company.wallet("Ada").spent == 2 * EPOCH_NANOS
        assert [line.cost_nanos for line in company.bill()] == [2 * EPOCH_NANOS]
