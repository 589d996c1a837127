"""`tokenroll doctor` makes the call that a client makes, and says what broke and what to do, whoever broke it."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.company import Company
from tokenroll.model.amount import nanos_from_text
from tokenroll.services.keys import key_hash
from tokenroll.testing import SimulatedProvider

MODELS = {
    "claude-code": "claude-sonnet-5-5",
    "codex": "gpt-4o-mini",
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
}


def ask(company, client, tmp_path, *, key=None, url="", model="", code=0):
    """What it says as JSON; `code` is how it must end."""
    (tmp_path / "key").write_text((key or company.keys["Ada"]) + "\n")
    address = url or f"http://127.0.0.1:{company.port}"
    return company.tokenroll(
        "doctor", "--client", client, "--url", address, "--key-file", str(tmp_path / "key"), "--model",
        model or MODELS[client], "--json", code=code,
    )  # fmt: skip


@pytest.mark.parametrize("client", MODELS)
def test_it_makes_one_call_as_that_client_does_and_says_what_it_cost(company, client, tmp_path):
    before, known = company.wallet("Ada"), len(company.calls("Ada"))
    found = ask(company, client, tmp_path)
    assert (found["works"], found["broken"], found["status"]) == (True, "", 200)
    company.prove()
    assert len(company.calls("Ada")) == known + 1
    assert company.calls("Ada", limit=1)[0]["call"] == found["call"]
    assert company.wallet("Ada").spent - before.spent == nanos_from_text(found["cost"]) > 0


def test_it_tells_what_the_gateway_wrote_into_the_request(company, tmp_path):
    assert ask(company, "codex", tmp_path)["notes"] == ["x-tokenroll-output-cap: 16384", "x-tokenroll-searches: 8"]
    assert ask(company, "openai", tmp_path)["notes"] == []


BREAKS = {
    "a wrong key": ({"key": "mallorys-own"}, 401, "not known here", "tokenroll key create"),
    "an empty wallet": ({"key": "Cleo"}, None, "credits left", "tokenroll grant create"),
    "a model without a price": ({"model": "gpt-nowhere"}, 404, "has no rate card", "tokenroll ratecard import"),
}


@pytest.mark.parametrize("client", MODELS)
@pytest.mark.parametrize("name", BREAKS)
def test_it_says_what_broke_and_what_to_do_and_nothing_is_sent(company, client, name, tmp_path):
    options, status, words, step = BREAKS[name]
    sent = company.provider.state()["requests"]
    found = ask(company, client, tmp_path, **{**options, **secret(company, options)}, code=1)
    assert (found["works"], found["call"]) == (False, "")
    assert found["status"] == (status or (429 if client in {"codex", "openai"} else 402))
    assert words in found["broken"]
    assert step in found["next_step"]
    assert company.provider.state()["requests"] == sent


def test_it_says_that_a_key_is_for_other_models(company, tmp_path):
    company.do("key.create", member="Ada", name="haiku only", scope="inference", models=["claude-haiku-*"],
               secret_hash=key_hash(company.settings.pepper(), b"tr-ada-haiku-only").hex(), shown_prefix="tr-ada-ha")  # fmt: skip
    found = ask(company, "openai", tmp_path, key="tr-ada-haiku-only", code=1)
    assert (found["works"], found["status"], found["call"]) == (False, 403, "")
    assert found["next_step"] == (
        "Name a model that this key is for with --model, or change what it is for: `tokenroll key change`."
    )


@pytest.mark.parametrize(("client", "model"), [("anthropic", "gpt-4o-mini"), ("openai", "claude-haiku-4-5")])
def test_it_says_that_a_model_is_not_served_in_that_dialect(company, client, model, tmp_path):
    found = ask(company, client, tmp_path, model=model, code=1)
    assert (found["works"], found["status"]) == (False, 404)
    assert found["next_step"] == (
        "The model is not served in this client's dialect: check a client of the other one with --client, or name a model of this "
        "one with --model."
    )


def secret(company, options):
    return {"key": company.keys[options["key"]]} if options.get("key") in company.keys else {}


@pytest.mark.parametrize("client", ["claude-code", "openai"])
def test_it_says_that_nobody_answers(company, client, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = ask(company, client, tmp_path, url=f"http://127.0.0.1:{port}", code=1)
    assert "nobody answers at" in found["broken"]
    assert "tokenroll serve" in found["next_step"]


def test_it_says_that_something_else_answers(company, tmp_path):
    with SimulatedProvider(seed=7) as bare:
        found = ask(company, "openai", tmp_path, url=bare.base_url, code=1)
    assert "no tokenroll gateway" in found["broken"]


def test_it_says_that_no_deployment_serves_the_model(tmp_path):
    with Company(tmp_path / "home", deployment='models = ["gpt-4o-mini"]\n') as narrow:
        narrow.hire("Ada")
        found = ask(narrow, "claude-code", tmp_path, code=1)
    assert (found["status"], "No deployment here serves" in found["broken"]) == (404, True)
    assert "Add a deployment" in found["next_step"]


def test_it_tells_the_providers_refusals_from_the_gateways(tmp_path):
    with Company(tmp_path / "home", provider=SimulatedProvider(seed=7, api_key="sk-another")) as locked:
        locked.hire("Ada")
        found = ask(locked, "openai", tmp_path, code=1)
        locked.prove()
    assert (found["status"], found["call"][:5]) == (401, "call_")
    assert "refuses the company's key" in found["next_step"]


def test_it_says_that_a_stream_was_cut(tmp_path):
    with Company(
        tmp_path / "home", provider=SimulatedProvider(seed=7, api_key="sk-the-company", faults="cut=3:1")
    ) as cut:
        cut.hire("Ada")
        found = ask(cut, "claude-code", tmp_path, code=1)
    assert found["broken"]
    assert found["status"] in {0, 200, 502}


def run(company, *arguments, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "tokenroll", "doctor", *arguments, "--url", f"http://127.0.0.1:{company.port}/v1/"],
        env={**os.environ, "TOKENROLL_HOME": str(company.home), **environment}, input=stdin, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip


def test_the_key_comes_by_file_or_input_or_variable_and_never_by_the_command_line(company):
    asked = ("--client", "openai", "--model", "gpt-4o-mini")
    key = company.keys["Ada"]
    for done in (run(company, *asked, "--key-file", "-", stdin=key), run(company, *asked, TOKENROLL_KEY=key)):
        assert (done.returncode, done.stdout[:32]) == (0, "works   openai with gpt-4o-mini ")
    nothing = run(company, *asked, TOKENROLL_KEY="")
    assert (nothing.returncode, "there is no key in the variable TOKENROLL_KEY" in nothing.stderr) == (2, True)
    unknown = run(company, "--client", "emacs", "--json", TOKENROLL_KEY=key)
    assert (unknown.returncode, "known: claude-code, codex" in json.loads(unknown.stdout)["problem"]["detail"]) == (
        2,
        True,
    )
    company.prove()


def test_a_person_reads_what_broke_and_the_next_step(company):
    done = run(company, "--client", "anthropic", TOKENROLL_KEY="tr-mallory")
    first, second = done.stdout.splitlines()
    assert (done.returncode, first[:8], second[:8]) == (1, "broken  ", "next    ")
