import pytest

from tokenroll.settings import home_from_environment, load_settings
from tokenroll.settings_table import Listen, SettingsError, listen_from_text


def home_with(tmp_path, text):
    (tmp_path / "config.toml").write_text(text)
    return tmp_path


def test_it_has_a_default_for_everything(tmp_path):
    settings = load_settings(tmp_path)
    assert settings.gateway.listen == Listen(host="127.0.0.1", port=8787)
    assert settings.web.listen == Listen(host="127.0.0.1", port=8788)
    assert (settings.gateway.durability, settings.gateway.workers, settings.gateway.observe) == ("synced", 1, False)
    assert settings.deployments == ()
    assert settings.database_path == tmp_path / "ledger.db"


def test_it_reads_every_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("SIM_KEY", "sk-1")
    (tmp_path / "key").write_text("sk-2\n")
    text = f"""
[company]
name = "Acme"
zone = "Europe/Berlin"
[gateway]
listen = "[::1]:0"
workers = 1
durability = "written"
observe = true
decode_request_bodies = true
[web]
listen = "0.0.0.0:80"
[deployments.one]
dialect = "openai"
base_url = "https://one.example/v1/"
api_key_env = "SIM_KEY"
models = ["gpt-5-mini"]
aliases = {{ fast = "gpt-5-mini" }}
service_tier = "flex"
pin_tier = true
[deployments.two]
dialect = "anthropic"
provider = "vertex"
base_url = "http://10.0.0.1:99"
api_key_file = "{tmp_path}/key"
ca_file = "/etc/ca.pem"
plain_http_allowed = true
"""
    settings = load_settings(home_with(tmp_path, text))
    assert (settings.company.name, settings.company.zone) == ("Acme", "Europe/Berlin")
    assert str(settings.gateway.listen) == "[::1]:0"
    assert (settings.gateway.durability, settings.gateway.observe, settings.gateway.decode_request_bodies) == (
        "written",
        True,
        True,
    )
    one, two = settings.deployments
    assert (one.base_url, one.api_key, one.provider, one.models) == (
        "https://one.example/v1",
        "sk-1",
        "openai",
        ("gpt-5-mini",),
    )
    assert (one.aliases, one.service_tier, one.pin_tier) == ({"fast": "gpt-5-mini"}, "flex", True)
    assert (two.api_key, two.provider, str(two.ca_file), two.plain_http_allowed) == (
        "sk-2",
        "vertex",
        "/etc/ca.pem",
        True,
    )


def test_it_never_shows_a_providers_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SIM_KEY", "sk-secret")
    text = '[deployments.one]\ndialect = "openai"\nbase_url = "https://one.example"\napi_key_env = "SIM_KEY"\n'
    assert "sk-secret" not in repr(load_settings(home_with(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[gateway]\nworker = 2\n",
            ":2: gateway.worker is not a setting; known here: attempts, decode_request_bodies, durability, empty_wallet_status",
        ),
        (
            "\n[gateways]\n",
            ":2: gateways is not a setting; known here: alerts, company, deployments, gateway, ledger, ledger_password_env, ledger_password_file, node, nodes, outcomes, telemetry, web",
        ),
        ('[gateway]\n\ndurability = "fast"\n', ":3: gateway.durability must be one of synced, written, not 'fast'"),
        ("[gateway]\nworkers = 17\n", ":2: gateway.workers must be a whole number from 0 to 16, not 17"),
        ("[gateway]\nobserve = 1\n", ":2: gateway.observe must be true or false, not 1"),
        ('[gateway]\nlisten = "8787"\n', ":2: gateway.listen must be host:port such as 127.0.0.1:8787, not '8787'"),
        ('[gateway]\nlisten = "a:70000"\n', "gateway.listen must be host:port"),
        ("gateway = 1\n", ":1: gateway must be a table"),
        ("[deployments.one]\n", ":1: deployments.one.dialect is missing"),
        (
            '[deployments.one]\ndialect = "openai"\nbase_url = "ftp://x"\n',
            ":3: deployments.one.base_url must be http(s)://",
        ),
        (
            '[deployments.one]\ndialect = "openai"\nbase_url = "https://x"\n',
            "deployments.one.api_key_env or api_key_file must say where",
        ),
        (
            '[deployments.one]\ndialect = "grpc"\n',
            ":2: deployments.one.dialect must be one of openai, anthropic, not 'grpc'",
        ),
        (
            '[deployments.one]\ndialect = "openai"\nbase_url = "https://x"\napi_key_file = "/nowhere/key"\n',
            "cannot be read",
        ),
        ('[nodes]\nlisten = "7443"\n', ":2: nodes.listen must be host:port"),
        (
            '[nodes]\nlisten = "a:1"\nport = 1\n',
            ":3: nodes.port is not a setting; known here: ca_file, certificate_file",
        ),
        ("[node]\nworker = 64\n", ":1: node.ledger is missing"),
        (
            '[node]\nledger = "h:1"\n',
            ":2: node.ledger must be tls://host:port, such as tls://ledger.example:7443, not 'h:1'",
        ),
        ('[node]\nledger = "tls://h"\n', ":2: node.ledger must be tls://host:port"),
        ('[node]\nledger = "tls://h:1"\nworker = 3\n', ":3: node.worker must be a whole number from 64 to 127, not 3"),
        (
            '[nodes]\nlisten = "a:1"\n[node]\nledger = "tls://h:1"\nworker = 64\n',
            ":1: nodes is for the home of a ledger, and [node] says that this is a node's",
        ),
        ("[gateway\n", "is not TOML"),
    ],
)
def test_it_names_the_line_and_the_key_of_what_is_wrong(tmp_path, text, says):
    with pytest.raises(SettingsError) as error:
        load_settings(home_with(tmp_path, text))
    assert says in str(error.value)
    assert str(tmp_path / "config.toml") in str(error.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "config.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings(tmp_path)


def test_it_names_all_unknown_keys_at_once(tmp_path):
    with pytest.raises(SettingsError) as error:
        load_settings(home_with(tmp_path, "[web]\na = 1\nb = 2\n"))
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == ["2", "3"]


def test_it_reads_the_home_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENROLL_HOME", str(tmp_path))
    assert home_from_environment() == tmp_path
    monkeypatch.delenv("TOKENROLL_HOME")
    assert home_from_environment().name == ".tokenroll"


def test_it_refuses_a_clock_in_a_home_that_the_demo_did_not_make(tmp_path):
    settings = load_settings(tmp_path)
    assert settings.clock_path is None
    (tmp_path / "clock").write_bytes(bytes(8))
    with pytest.raises(SettingsError, match="only the demo's own throw-away home may have one"):
        settings.clock_path  # noqa: B018
    (tmp_path / "made-by-demo").touch()
    assert settings.clock_path == tmp_path / "clock"


def test_it_wants_a_whole_secret(tmp_path):
    settings = load_settings(tmp_path)
    with pytest.raises(SettingsError, match="run `tokenroll init` first"):
        settings.pepper()
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(SettingsError, match="must hold 32 bytes, not 5"):
        settings.pepper()
    (tmp_path / "secret").write_bytes(bytes(32))
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(SettingsError, match="may be read by others, who could try keys with it: chmod 600 it"):
        settings.pepper()
    (tmp_path / "secret").chmod(0o600)
    assert settings.pepper() == bytes(32)


@pytest.mark.parametrize("text", ["", "localhost", ":80", "::1:80", "a b:1", "host:x"])
def test_it_refuses_what_is_no_address(text):
    with pytest.raises(SettingsError):
        listen_from_text(text)


ALERTS = """
[alerts]
thresholds = [90, 50]
[alerts.destinations.ops]
url = "https://hooks.acme.example/tokenroll"
signing_key_env = "OPS_KEY"
[alerts.destinations.cleo]
email = "cleo@acme.example"
[alerts.smtp]
host = "mail.acme.example"
sender = "tokenroll@acme.example"
user = "tokenroll"
password_file = "PASSWORD"
"""


@pytest.fixture
def secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("OPS_KEY", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    return ALERTS.replace("PASSWORD", str(tmp_path / "password"))


def test_it_reads_who_is_told(tmp_path, secrets):
    alerts = load_settings(home_with(tmp_path, secrets)).alerts
    ops, cleo = alerts.destinations
    assert alerts.thresholds == (50, 90)
    assert (ops.url, ops.signing_key) == ("https://hooks.acme.example/tokenroll", bytes(range(24)))
    assert (cleo.email, cleo.url) == ("cleo@acme.example", "")
    assert alerts.smtp is not None
    assert (alerts.smtp.port, alerts.smtp.security, alerts.smtp.password) == (587, "starttls", "secret")
    assert "secret" not in repr(alerts)
    assert load_settings(tmp_path / "nowhere").alerts.thresholds == (50, 80, 95)


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ("[90, 50]", "[90, 101]", ":3: alerts.thresholds must be a list of whole numbers from 1 to 100"),
        ("[90, 50]", str([50] * 11), ":3: alerts.thresholds has 11 numbers, more than 10"),
        ("https://hooks", "http://hooks", ":5: alerts.destinations.ops.url must be https://host"),
        ("OPS_KEY", "HOME", ":6: alerts.destinations.ops.signing_key_env must hold whsec_"),
        ("cleo@acme.example", "cleo", ":8: alerts.destinations.cleo.email must be one mail address"),
        ("email =", "mail =", ":7: alerts.destinations.cleo.url or email must say where alerts go"),
        (
            'user = "tokenroll"',
            'user = "t"\nsecurity = "none"',
            "alerts.smtp.security must be starttls or tls where a password",
        ),
        ("[alerts.smtp]", "[alerts.post]", "is a mail address, and no [alerts.smtp] says which server sends it"),
    ],
)
def test_a_slip_in_alerts_names_its_line(tmp_path, secrets, wrong, right, says):
    with pytest.raises(SettingsError) as refused:
        load_settings(home_with(tmp_path, secrets.replace(wrong, right)))
    assert says in str(refused.value)


def test_a_variable_that_is_not_set_hinders_no_command(tmp_path, secrets):
    alerts = load_settings(home_with(tmp_path, secrets.replace("OPS_KEY", "NO_KEY"))).alerts
    assert alerts.destinations[0].signing_key == b""


def test_a_secret_that_others_may_read_is_refused(tmp_path, secrets):
    (tmp_path / "password").chmod(0o640)
    with pytest.raises(SettingsError, match="which others may read: chmod 600 it"):
        load_settings(home_with(tmp_path, secrets))


def test_telemetry_is_read_and_amounts_cross_no_network_in_the_open(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLECTOR", "secret")
    text = """
[telemetry]
otlp_metrics_url = "https://collector.example/v1/metrics"
otlp_metrics_seconds = 60
token_env = "COLLECTOR"
ca_file = "/etc/ca.pem"
attribution_rules = "/etc/rules.toml"
"""
    found = load_settings(home_with(tmp_path, text)).telemetry
    assert (found.otlp_metrics_url, found.otlp_metrics_seconds) == ("https://collector.example/v1/metrics", 60)
    assert (found.token, str(found.ca_file), str(found.attribution_rules)) == (
        "secret",
        "/etc/ca.pem",
        "/etc/rules.toml",
    )
    assert "secret" not in repr(found)
    with pytest.raises(SettingsError, match="or http to this machine"):
        load_settings(home_with(tmp_path, '[telemetry]\notlp_metrics_url = "http://collector.example/v1/metrics"\n'))
    with pytest.raises(SettingsError, match="from 5 to 3600"):
        load_settings(home_with(tmp_path, "[telemetry]\notlp_metrics_seconds = 1\n"))


@pytest.mark.parametrize(("rules", "says"), [(None, "No such file"), ("[[rule]]", "rule 1 is not of the form")])
def test_rules_that_cannot_be_followed_end_the_start_and_name_their_place(tmp_path, rules, says):
    from tokenroll.cli.role import _span_intake

    path = tmp_path / "rules.toml"
    if rules is not None:
        path.write_text(rules)
    settings = load_settings(home_with(tmp_path, f'[telemetry]\nattribution_rules = "{path}"\n'))
    with pytest.raises(
        SettingsError, match=r"config\.toml:2: telemetry\.attribution_rules names .*rules\.toml"
    ) as found:
        _span_intake(settings)
    assert says in str(found.value)


def test_secrets_of_trackers_come_from_where_the_file_says(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_HOOK", "between-us")
    home = home_with(tmp_path, '[outcomes]\ngithub_secret_env = "GITHUB_HOOK"\ngitlab_secret_env = "NOT_SET"\n')
    outcomes = load_settings(home).outcomes
    assert (outcomes.github_secret, outcomes.gitlab_secret, outcomes.signing_key) == ("between-us", "", b"")
    assert "between-us" not in repr(outcomes)
    monkeypatch.setenv("OURS", "whsec_short")
    home = home_with(tmp_path, '[outcomes]\nsigning_key_env = "OURS"\n')
    with pytest.raises(SettingsError, match="must hold whsec_"):
        load_settings(home)


def test_a_home_without_nodes_has_no_door_for_them(tmp_path):
    settings = load_settings(home_with(tmp_path, ""))
    assert (settings.nodes, settings.node) == (None, None)


def test_certificates_lie_in_the_home_unless_the_file_says_where(tmp_path):
    text = '[nodes]\nlisten = "0.0.0.0:7443"\nkey_file = "/etc/ledger.key"\nrefused = ["eu-1"]\n'
    nodes = load_settings(home_with(tmp_path, text)).nodes
    assert nodes is not None
    assert (str(nodes.listen), nodes.refused) == ("0.0.0.0:7443", ("eu-1",))
    assert nodes.files.ca_file == tmp_path / "nodes/ca.crt"
    assert nodes.files.certificate_file == tmp_path / "nodes/ledger.crt"
    assert str(nodes.files.key_file) == "/etc/ledger.key"
    node = load_settings(home_with(tmp_path, '[node]\nledger = "tls://[::1]:7443"\nworker = 127\n')).node
    assert node is not None
    assert (str(node.ledger), node.worker) == ("[::1]:7443", 127)
    assert node.files.certificate_file == tmp_path / "node.crt"
