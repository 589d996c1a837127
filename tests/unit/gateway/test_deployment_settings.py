"""What `config.toml` says of deployments reaches the gateway, with the limits that the model names."""

from dataclasses import fields

import pytest

from tokenroll import settings
from tokenroll.cli.role import deployment_of
from tokenroll.gateway.deployment import Deployment
from tokenroll.model import limits
from tokenroll.settings import DeploymentSettings, GatewaySettings, load_settings
from tokenroll.settings_table import SettingsError
from tokenroll.upstream.flavours import FLAVOURS

TABLE = """
[gateway]
attempts = 2
retry_seconds = 30

[deployments.east]
dialect = "openai"
base_url = "https://east.example/v1"
api_key_env = "NO_SUCH_VARIABLE"
weight = 3
priority = 2
retry_unanswered = true
fallbacks = { "gpt-4o" = ["gpt-4o-mini"] }
connect_seconds = 1
first_byte_seconds = 2
idle_seconds = 3
answer_seconds = 4
"""


def test_every_field_of_a_deployment_is_passed_on(tmp_path):
    (tmp_path / "config.toml").write_text(TABLE)
    read = load_settings(tmp_path)
    assert (read.gateway.attempts, read.gateway.retry_seconds) == (2, 30)
    east = deployment_of(read.deployments[0])
    assert (east.weight, east.priority, east.retry_unanswered) == (3, 2, True)
    assert east.fallbacks == {"gpt-4o": ("gpt-4o-mini",)}
    assert (east.connect_seconds, east.first_byte_seconds, east.idle_seconds, east.answer_seconds) == (1, 2, 3, 4)
    of_the_bill = {"report_keys"}
    assert {one.name for one in fields(DeploymentSettings)} - of_the_bill == {one.name for one in fields(Deployment)}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("weight = 0", "weight must be a whole number from 1 to 100, not 0"),
        ("priority = 101", "priority must be a whole number from 1 to 100, not 101"),
        ("answer_seconds = 3601", "answer_seconds must be a whole number from 1 to 3600, not 3601"),
        ("[deployments.east.fallbacks]\na = 'b'", "fallbacks.a must be a list of texts"),
    ],
)
def test_what_cannot_be_right_is_named_with_its_line(tmp_path, line, says):
    text = TABLE.partition("weight")[0] + line
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert says in str(error.value)
    assert f"config.toml:{text.count(chr(10)) + 1}:" in str(error.value)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "api_key_env or api_key_file must say where the provider's key is (or token_command, or keyless)"),
        ("keyless = true\napi_key_env = 'A'", "keyless and api_key_env exclude each other"),
        ("keyless = true\ntoken_command = ['a']", "token_command and keyless exclude each other"),
        ("keyless = true\nflavour = 'grape'", "flavour must be one of standard, azure"),
        ("keyless = true\nusage_missing = 'free'", "usage_missing must be one of estimate, refuse"),
    ],
)
def test_how_a_provider_knows_us_is_said_once(tmp_path, lines, says):
    table = '[deployments.one]\ndialect = "openai"\nbase_url = "http://127.0.0.1:1"\n'
    (tmp_path / "config.toml").write_text(table + lines)
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert says in str(error.value)


def test_a_server_of_ones_own_needs_no_key(tmp_path):
    table = '[deployments.one]\ndialect = "openai"\nbase_url = "http://127.0.0.1:1"\nkeyless = true\nusage_missing = "refuse"\n'
    (tmp_path / "config.toml").write_text(table)
    one = deployment_of(load_settings(tmp_path).deployments[0])
    assert (one.api_key, one.keyless, one.refuses_unmetered, one.flavour) == ("", True, True, "standard")


def test_the_lowest_layer_repeats_what_the_model_says():
    assert tuple(FLAVOURS) == settings.FLAVOURS
    assert settings.WEIGHT_MAX == limits.DEPLOYMENT_WEIGHT_MAX
    assert settings.PRIORITY_MAX == limits.DEPLOYMENT_PRIORITY_MAX
    assert settings.ANSWER_SECONDS_MAX == limits.CALL_AGE_SECONDS_MAX
    defaults = DeploymentSettings(name="one", dialect="openai", base_url="https://a", provider="openai", api_key="k")
    assert defaults.connect_seconds == limits.CONNECT_SECONDS_MAX
    assert defaults.first_byte_seconds == limits.FIRST_BYTE_SECONDS_MAX
    assert defaults.idle_seconds == limits.UPSTREAM_IDLE_SECONDS_MAX
    assert defaults.answer_seconds == limits.CALL_AGE_SECONDS_MAX
    assert (GatewaySettings().attempts, GatewaySettings().retry_seconds) == (
        limits.ATTEMPTS_MAX, limits.RETRY_SECONDS_MAX,
    )  # fmt: skip
