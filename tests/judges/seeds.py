"""What the official suites ask for by ids of their own making, stored at a provider, straight or through the gateway."""

import json
from pathlib import Path
from typing import Any

import anthropic
import openai
from anthropic.resources.messages.messages import DEPRECATED_MODELS

from tests.company import MODELS
from tokenroll.upstream import simulated

PLACEHOLDER_MODELS = {
    "anthropic": sorted({"model_id", *DEPRECATED_MODELS} - set(MODELS)),
    "openai": ["gpt-image-2.5-flare"],
}
"""By vendor: models that the suites name and that nobody sells, or nobody any more."""
ASKED = "How much is left?"


def prices_of_suites(folder: Path) -> Path:
    """The simulated provider's own price table, and behind it the models of the suites."""
    own = Path(simulated.__file__).with_name("prices.toml").read_text()
    rows = [
        f'\n[[model]]\nname = "{name}"\nvendor = "{vendor}"\nanswers_as = "{name}"\nstandard = {{ input = "3", output = "15" }}\n'
        for vendor, names in PLACEHOLDER_MODELS.items()
        for name in names
    ]
    path = folder / "prices.toml"
    path.write_text(own + "".join(rows))
    return path


def named(name: str, **more: str) -> dict[str, str]:
    return {"x-sim-name": name, **more}


def store(openai_client: openai.OpenAI, provider_client: anthropic.Anthropic) -> None:
    """Files, a batch, a job that is under way for the time of the test, responses and a batch of messages.

    The last one is made at the provider, with a request that fails and costs nothing: its id is none that Anthropic would give, and the
    ledger asks about no other.
    """
    body = {"model": "gpt-4o-mini", "input": ASKED, "max_output_tokens": 64}
    request = json.dumps({"custom_id": "one", "method": "POST", "url": "/v1/responses", "body": body}).encode()
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    example = json.dumps({"messages": said}).encode()
    create = openai_client.files.create
    for name in ("file_id", "input_file_id"):
        create(file=("in.jsonl", request), purpose="batch", extra_headers=named(name))
    create(file=("examples.jsonl", example), purpose="fine-tune", extra_headers=named("file-abc123"))
    openai_client.batches.create(
        input_file_id="input_file_id", endpoint="/v1/responses", completion_window="24h", extra_headers=named("batch_id")
    )  # fmt: skip
    openai_client.fine_tuning.jobs.create(
        model="gpt-4o-mini", training_file="file-abc123",
        extra_headers=named("ft-AF1WoRqd3aJAHsqc9NY7iL8F", **{"x-sim-background-ms": "600000"}),
    )  # fmt: skip
    for name in ("resp_677efb5139a88190b512bc3fef8e535d", "response_id"):
        openai_client.responses.create(model="gpt-4o-mini", input=ASKED, extra_headers=named(name))
    message: Any = {
        "model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": ASKED}], "metadata": {"sim_fault": "429"},
    }  # fmt: skip
    provider_client.messages.batches.create(
        requests=[{"custom_id": "one", "params": message}], extra_headers=named("message_batch_id")
    )
