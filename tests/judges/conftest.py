"""One company for each module of judges: the gateway in front of the simulated provider, whose key no client knows."""

import gzip
import json

import jsonschema_rs
import pytest

from tests.company import Company


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    with Company(tmp_path_factory.mktemp("acme") / "home") as running:
        running.hire("Ada")
        running.hire("Cleo", 0)
        running.hire("Nightly agent", 1_000_000)
        yield running
        running.prove()


@pytest.fixture
def free(company):
    """No wallet moves, nothing is billed, and no hold is made."""
    company.prove()
    billed, calls = len(company.bill()), company.metric("tokenroll_calls_total")
    with company.moves("Ada", 0):
        yield company
    assert (len(company.bill()), company.metric("tokenroll_calls_total")) == (billed, calls)


def nullable_as_types(value):
    """`nullable: true`, which this document still uses though its version has no such word, as what it means."""
    if isinstance(value, list):
        return [nullable_as_types(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {name: nullable_as_types(one) for name, one in value.items() if name != "nullable"}
    if plain.get("exclusiveMinimum") is True:  # the same for a limit that is itself outside
        plain["exclusiveMinimum"] = plain.pop("minimum")
    return {"anyOf": [plain, {"type": "null"}]} if value.get("nullable") is True else plain


@pytest.fixture(scope="module")
def schema(trace_folder):
    """Validators by the name of a schema."""
    path = trace_folder / "openai_openapi.json.gz"
    if not path.exists():
        pytest.skip("no OpenAI specification: openai_openapi.json.gz is not in TOKENROLL_DATA")
    document = nullable_as_types(json.loads(gzip.decompress(path.read_bytes())))

    def validator(name):
        return jsonschema_rs.validator_for(
            {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        )

    return validator
