"""docs/config.md and the settings say the same."""

from dataclasses import fields
from pathlib import Path

from tokenroll.settings import (
    AlertSettings,
    CompanySettings,
    DeploymentSettings,
    DestinationSettings,
    GatewaySettings,
    LineFiles,
    NodeSettings,
    NodesSettings,
    SmtpSettings,
    TelemetrySettings,
    WebSettings,
    load_settings,
)

PAGE = (Path(__file__).parents[3] / "docs/config.md").read_text()
TABLES = {
    "## `[company]`": CompanySettings,
    "## `[gateway]`": GatewaySettings,
    "## `[web]`": WebSettings,
    "## `[deployments.NAME]`": DeploymentSettings,
    "## `[alerts]`": AlertSettings,
    "## `[alerts.destinations.NAME]`": DestinationSettings,
    "## `[alerts.smtp]`": SmtpSettings,
    "## `[telemetry]`": TelemetrySettings,
    "## `[nodes]`": NodesSettings,
    "## `[node]`": NodeSettings,
}

LINES = ("## `[nodes]`", "## `[node]`")

WORDS = {"refuses_unmetered": "usage_missing"}
"""Settings that the file says in words and the code as a yes or no."""


def section(head: str) -> str:
    return PAGE.split(head, 1)[1].split("\n## ", 1)[0]


def test_it_documents_every_setting():
    missing = [
        f"{head}: {one.name}"
        for head, noun in TABLES.items()
        for one in fields(noun)
        if f"`{WORDS.get(one.name, one.name)}`" not in section(head) and one.name not in {"name", "api_key", "files"}
    ]
    missing += [
        f"{one.name} of {head}" for one in fields(LineFiles) for head in LINES if f"`{one.name}`" not in section(head)
    ]
    assert missing == []
    assert "`api_key_env` or `api_key_file`" in section("## `[deployments.NAME]`")


def test_its_example_is_accepted(tmp_path, monkeypatch):
    example = PAGE.split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "key").write_text("sk-x")
    (tmp_path / "config.toml").write_text(example.replace("/etc/tokenroll/openai.key", str(tmp_path / "key")))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-y")
    settings = load_settings(tmp_path)
    assert [(one.name, one.api_key) for one in settings.deployments] == [("anthropic", "sk-y"), ("openai", "sk-x")]


def test_the_file_that_init_writes_is_accepted(tmp_path):
    from tokenroll.cli.init import make_home

    make_home(load_settings(tmp_path / "home"), "Acme", "Europe/Berlin")
    settings = load_settings(tmp_path / "home")
    assert (settings.company.name, settings.company.zone) == ("Acme", "Europe/Berlin")
    assert settings.gateway == GatewaySettings()
