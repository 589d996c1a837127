"""The only reader of the environment and of `config.toml`, so that every other module behaves the same wherever it runs.

Precedence: what a command line says, then `config.toml` in the home, then the defaults here. A key that this file does not know
is an error that names its line: a misspelt limit that is silently ignored would be found by an invoice.
"""

import base64
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tokenroll.ledger_place import LedgerPlace, LedgerUrl, LedgerUrlError, ledger_url
from tokenroll.settings_table import Listen, SettingsError, Table, line_of, listen_from_text

HOME_VARIABLE: Final = "TOKENROLL_HOME"
CONFIG_NAME: Final = "config.toml"
DATABASE_NAME: Final = "ledger.db"
SECRET_NAME: Final = "secret"  # noqa: S105 - the name of a file, not a secret
CLOCK_NAME: Final = "clock"
DEMO_MARK_NAME: Final = "made-by-demo"
"""Only a home that holds this file may have a virtual clock."""

Dialect = Literal["openai", "anthropic"]
Durability = Literal["written", "synced"]
DIALECTS: Final[tuple[Dialect, ...]] = ("openai", "anthropic")
DURABILITIES: Final[tuple[Durability, ...]] = ("synced", "written")
FLAVOURS: Final = ("standard", "azure", "azure_deployments", "gemini", "vertex", "bedrock")
"""As FLAVOURS of upstream/flavours.py; a test compares them."""
TOKEN_SECONDS_MIN: Final = 60
"""A token that lives shorter would be fetched all the time."""
SERVICE_TIERS: Final = ("standard", "batch", "flex", "priority")
THRESHOLDS_MAX: Final = 10
DESTINATIONS_MAX: Final = 16
"""As ALERT_THRESHOLDS_MAX and ALERT_DESTINATIONS_MAX of model/limits.py, which lies above this file; a test compares them."""
LIMIT_WAIT_SECONDS_MAX: Final = 5
"""As WAIT_SECONDS_MAX of model/limits.py; a test compares them."""
EMPTY_WALLET_STATUSES: Final = (402, 400)
ATTEMPTS_MAX: Final = 10
WEIGHT_MAX: Final = 100
PRIORITY_MAX: Final = 100
ANSWER_SECONDS_MAX: Final = 3_600
"""As DEPLOYMENT_WEIGHT_MAX, DEPLOYMENT_PRIORITY_MAX and CALL_AGE_SECONDS_MAX of model/limits.py, likewise compared by a test."""
NODE_WORKERS: Final = (64, 127)
"""As NODE_WORKER_MIN of model/limits.py and WORKER_MAX of store/attempt_record.py, likewise compared by a test."""
WORKERS_MAX: Final = 16
"""Likewise."""
NODE_LEASE_SECONDS: Final = (30, 3, 3_600)
"""Likewise: how long a node's lease counts, as it is, at least and at most."""
ALLOW_CREDITS_MAX: Final = 1_000_000
"""As NODE_ALLOW_CREDITS_MAX there."""
WHEN_CUT_OFF: Final = ("retry_then_deny", "deny", "allow")
"""As WhenCutOff of services/sized_lease.py."""

CLIENT_KEY_VARIABLE: Final = "TOKENROLL_KEY"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The data plane: where clients come in, how many processes serve them, and what a hold survives."""

    listen: Listen = field(default_factory=lambda: Listen(host="127.0.0.1", port=8787))
    workers: int = 1
    durability: Durability = "synced"
    observe: bool = False
    """Refuse nobody, record every would-be denial: overrides every plan's enforcement while it is on."""
    attempts: int = 3
    """Deployments that one call is sent to at most, the first one counted."""
    retry_seconds: int = 60
    """How long after a call's beginning a further attempt may begin."""
    decode_request_bodies: bool = False
    """Accept gzip, br and zstd request bodies (bounded); off answers 415."""
    empty_wallet_status: int = 402
    """What `/v1/messages` answers when a wallet or a limit is spent."""
    limit_wait_seconds: int = 2
    """How long a call may be held back until a limit's short window has room for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Pages and admin JSON."""

    listen: Listen = field(default_factory=lambda: Listen(host="127.0.0.1", port=8788))


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanySettings:
    """What the company is called and in which zone its own cycles begin; no zone: that of the ledger, which `init` made."""

    name: str = "Company"
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """One way to reach a provider: a dialect at a base URL, with whose key, for which models.

    `models` empty: every model that has a rate card of `provider`. `aliases` maps a client's model name to the provider's.
    `pin_tier` writes the service tier into each request; `plain_http_allowed` lets the key cross a network unprotected.
    """

    name: str
    dialect: Dialect
    base_url: str
    provider: str
    api_key: str = field(repr=False)
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    ca_file: Path | None = None
    service_tier: str = "standard"
    pin_tier: bool = False
    plain_http_allowed: bool = False
    weight: int = 1
    priority: int = 1
    retry_unanswered: bool = False
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other models to ask when no deployment of a model could answer."""
    connect_seconds: int = 10
    first_byte_seconds: int = 900
    idle_seconds: int = 300
    answer_seconds: int = 3_600
    flavour: str = "standard"
    """How the provider wants its dialect spoken."""
    api_version: str = ""
    keyless: bool = False
    token_command: tuple[str, ...] = ()
    token_seconds: int = 3_600
    report_keys: tuple[str, ...] = ()
    """What the provider's usage reports call its key: ids or names."""
    refuses_unmetered: bool = False
    """Whether answers that do not say their usage are kept from clients (`usage_missing = "refuse"`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpSettings:
    """The company's mail server, for alerts."""

    host: str
    port: int
    sender: str
    security: str = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationSettings:
    """Where alerts go: a webhook that is signed with a key of its own, or a mail address."""

    name: str
    url: str = ""
    signing_key: bytes = field(default=b"", repr=False)
    email: str = ""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """At which percentages of a wallet's cycle and of a limit's window somebody is told, and who."""

    thresholds: tuple[int, ...] = (50, 80, 95)
    destinations: tuple[DestinationSettings, ...] = ()
    smtp: SmtpSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Where live sums are sent, and how spans that programs report are attributed."""

    otlp_metrics_url: str = ""
    otlp_metrics_seconds: int = 30
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    attribution_rules: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeSettings:
    """By which secrets trackers are known that tell what became of work; an empty one takes nothing."""

    github_secret: str = field(default="", repr=False)
    gitlab_secret: str = field(default="", repr=False)
    signing_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFiles:
    """By which certificate this side of the line between ledger and node is known, and the one authority that the other side's must be of."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesSettings:
    """Where the ledger listens for gateways on other machines, and whose certificates it takes."""

    listen: Listen = field(default_factory=lambda: Listen(host="127.0.0.1", port=7443))
    files: LineFiles
    refused: tuple[str, ...] = ()
    """Names of nodes whose certificates are not taken any more."""
    lease_seconds: int = NODE_LEASE_SECONDS[0]
    """How long a node's lease counts that hears nothing of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What makes a home that of a node: where its ledger is, and the number of its first worker there."""

    ledger: Listen
    worker: int
    files: LineFiles
    alone: bool = False
    """Whether it is the only gateway of its ledger: then it has everything, for as long as it lives."""
    when_cut_off: str = WHEN_CUT_OFF[0]
    """What becomes of a call that needs more than the node was lent, while the ledger cannot be asked."""
    allow_credits_max: int = 0
    """With `allow`: what the company carries of such calls at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a role needs to know before it starts. Two processes that read the same home see the same."""

    home: Path
    ledger: LedgerUrl | None = None
    """The PostgreSQL database that is the ledger; None: a file of the home."""
    company: CompanySettings = field(default_factory=CompanySettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    web: WebSettings = field(default_factory=WebSettings)
    deployments: tuple[DeploymentSettings, ...] = ()
    alerts: AlertSettings = field(default_factory=AlertSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    outcomes: OutcomeSettings = field(default_factory=OutcomeSettings)
    nodes: NodesSettings | None = None
    """None: no gateway on another machine may come."""
    node: NodeSettings | None = None
    """None: this home has its ledger itself."""

    @property
    def nodes_directory(self) -> Path:
        """The authority of the nodes' certificates, and what it has issued."""
        return self.home / "nodes"

    @property
    def database_path(self) -> Path:
        """The file that is the ledger where no PostgreSQL is named."""
        return self.home / DATABASE_NAME

    @property
    def ledger_place(self) -> LedgerPlace:
        """The ledger."""
        return self.ledger or self.database_path

    @property
    def has_ledger(self) -> bool:
        """Whether this home was made: what is in a database elsewhere, only that database can tell."""
        return self.database_path.exists() if self.ledger is None else (self.home / SECRET_NAME).exists()

    @property
    def tape_directory(self) -> Path:
        """Every worker's tape."""
        return self.home / "tape"

    @property
    def lake_directory(self) -> Path:
        """Usage as sealed Parquet files."""
        return self.home / "lake"

    @property
    def live_usage_path(self) -> Path:
        """What is counted for those who watch, and how far; it may be deleted, and is then counted again."""
        return self.home / "live_usage.json"

    @property
    def spool_directory(self) -> Path:
        """Calls that programs reported and that are not in the lake yet."""
        return self.home / "spool"

    @property
    def outcomes_path(self) -> Path:
        """What trackers told of outcomes."""
        return self.home / "outcomes.jsonl"

    @property
    def run_directory(self) -> Path:
        """Socket, lock and process ids."""
        return self.home / "run"

    @property
    def socket_path(self) -> Path:
        """Where the ledger listens."""
        return self.run_directory / "ledger.sock"

    @property
    def reports_socket_path(self) -> Path:
        """Where the process of the pages answers the gateway's questions about usage and costs."""
        return self.run_directory / "reports.sock"

    @property
    def lock_path(self) -> Path:
        """Who holds this lock may write the ledger."""
        return self.run_directory / "lock"

    @property
    def config_path(self) -> Path:
        """The file that people edit."""
        return self.home / CONFIG_NAME

    @property
    def clock_path(self) -> Path | None:
        """The virtual clock of a home that `demo` made, else None. Raises SettingsError for a clock anywhere else."""
        path = self.home / CLOCK_NAME
        if not path.exists():
            return None
        if not (self.home / DEMO_MARK_NAME).exists():
            message = f"{path} moves the clock, and only the demo's own throw-away home may have one: remove the file"
            raise SettingsError(message)
        return path

    def pepper(self) -> bytes:
        """The home's secret: hashes of keys and signatures of cookies depend on it. Raises SettingsError when it is not there."""
        path = self.home / SECRET_NAME
        try:
            secret = path.read_bytes()
        except FileNotFoundError as error:
            what = f"there is no secret in {self.home}: run `tokenroll init` first, or set TOKENROLL_HOME"
            raise SettingsError(self.secret_lost or what) from error
        except OSError as error:
            message = f"{path} cannot be read ({error.strerror}): see to its owner and permissions"
            raise SettingsError(message) from error
        if len(secret) != 32:
            message = f"{path} must hold 32 bytes, not {len(secret)}: put it back from your backup"
            raise SettingsError(message)
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path} may be read by others, who could try keys with it: chmod 600 it")
        return secret

    @property
    def secret_lost(self) -> str:
        """What is lost when a home with a ledger has no secret, and what can be done; empty for any other home."""
        path = self.home / SECRET_NAME
        if path.exists() or not self.has_ledger:
            return ""
        return (
            f"{path} is missing: put it back from your backup. Every key of this home is hashed with it, so without it no key "
            "works, and no command can make it again; wallets, grants and the journal are whole and can still be read"
        )


def client_key_from_environment() -> str:
    """The key of a client that is tried, as its own settings have it; empty when there is none."""
    return os.environ.get(CLIENT_KEY_VARIABLE, "")


def home_from_environment() -> Path:
    """TOKENROLL_HOME, else `~/.tokenroll`."""
    return Path(os.environ.get(HOME_VARIABLE) or "~/.tokenroll").expanduser().absolute()


def child_environment(home: Path) -> dict[str, str]:
    """The environment for a role that works in `home`."""
    return {**os.environ, HOME_VARIABLE: str(home), "PYTHONUNBUFFERED": "1"}


def load_settings(home: Path | None = None) -> Settings:
    """The settings of a home. Raises SettingsError, naming file, line and key, for what cannot be right."""
    place = (home or home_from_environment()).expanduser().absolute()
    path = place / CONFIG_NAME
    if not path.exists():
        return Settings(home=place)
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not TOML: {error}"
        raise SettingsError(message) from error
    return _settings_from(place, Table(path, text, (), document))


def entry_place(path: Path, *where: str) -> str:
    """`FILE:LINE: TABLE.KEY` of an entry of a configuration, for what only a role can find wrong with it."""
    line = line_of(path.read_text(encoding="utf-8"), where[:-1], where[-1]) if path.exists() else 0
    return f"{path}{f':{line}' if line else ''}: {'.'.join(where)}"


def _settings_from(home: Path, root: Table) -> Settings:
    company, gateway, web, deployments = (root.table(key) for key in ("company", "gateway", "web", "deployments"))
    defaults = Settings(home=home)
    settings = Settings(
        home=home,
        ledger=_ledger(root),
        company=CompanySettings(name=company.text_of("name", defaults.company.name), zone=_zone(company)),
        gateway=GatewaySettings(
            listen=gateway.listen("listen", defaults.gateway.listen),
            workers=gateway.number("workers", 1, 0, WORKERS_MAX),
            durability="written" if gateway.choice("durability", "synced", DURABILITIES) == "written" else "synced",
            observe=gateway.flag("observe"),
            attempts=gateway.number("attempts", 3, 1, ATTEMPTS_MAX),
            retry_seconds=gateway.number("retry_seconds", 60, 0, ANSWER_SECONDS_MAX),
            decode_request_bodies=gateway.flag("decode_request_bodies"),
            empty_wallet_status=_empty_wallet_status(gateway),
            limit_wait_seconds=gateway.number("limit_wait_seconds", 2, 0, LIMIT_WAIT_SECONDS_MAX),
        ),
        web=WebSettings(listen=web.listen("listen", defaults.web.listen)),
        deployments=tuple(_deployment(name, deployments.table(name)) for name in deployments.values),
        alerts=_alerts(root.table("alerts")),
        telemetry=_telemetry(root.table("telemetry")),
        outcomes=_outcomes(root.table("outcomes")),
        nodes=_nodes(home, root.table("nodes")),
        node=_node(home, root.table("node")),
    )
    if settings.node is not None:
        for key in ("ledger", "nodes"):
            if key in root.values:
                raise root.problem(key, "is for the home of a ledger, and [node] says that this is a node's")
    for table in (company, gateway, web, root):
        table.finished()
    return settings


def _ledger(root: Table) -> LedgerUrl | None:
    """The ledger's database, its password where the file says that it is; no message repeats what may hold one."""
    root.asked |= {"ledger", "ledger_password_env", "ledger_password_file"}
    if "ledger" not in root.values:
        return None
    try:
        url = ledger_url(str(root.values["ledger"]))
    except LedgerUrlError as error:
        raise root.problem("ledger", str(error)) from error
    kept = root.values.keys() & {"ledger_password_env", "ledger_password_file"}
    password = _secret(root, "ledger_password") if kept else ""
    return url.with_password(password) if password else url


def _zone(company: Table) -> str:
    """The company's zone where the file names one. Whether it is the ledger's, `serve` asks."""
    if "zone" not in company.values:
        company.asked.add("zone")
        return ""
    name = company.text_of("zone")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise company.problem("zone", f"must be an IANA time zone, such as Europe/Berlin, not {name!r}") from error
    return name


def _empty_wallet_status(table: Table) -> int:
    status = table.number("empty_wallet_status", 402, 400, 402)
    if status not in EMPTY_WALLET_STATUSES:
        raise table.problem("empty_wallet_status", f"must be 402 or 400, not {status}")
    return status


def _deployment(name: str, table: Table) -> DeploymentSettings:
    dialect = table.choice("dialect", table.text_of("dialect"), DIALECTS)
    base_url = table.text_of("base_url").rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", base_url):
        raise table.problem("base_url", f"must be http(s)://host[:port][/path], not {base_url!r}")
    ca_file = table.text_of("ca_file") if "ca_file" in table.values else None
    deployment = DeploymentSettings(
        name=name,
        dialect="anthropic" if dialect == "anthropic" else "openai",
        base_url=base_url,
        provider=table.text_of("provider", dialect),
        api_key=_api_key(table),
        flavour=table.choice("flavour", "standard", FLAVOURS),
        api_version=table.text_of("api_version") if "api_version" in table.values else "",
        keyless=table.flag("keyless"),
        token_command=table.texts("token_command"),
        token_seconds=table.number("token_seconds", 3_600, TOKEN_SECONDS_MIN, 86_400),
        refuses_unmetered=table.choice("usage_missing", "estimate", ("estimate", "refuse")) == "refuse",
        report_keys=table.texts("report_keys"),
        models=table.texts("models"),
        aliases=table.pairs("aliases"),
        ca_file=None if ca_file is None else Path(ca_file).expanduser(),
        service_tier=table.choice("service_tier", "standard", SERVICE_TIERS),
        pin_tier=table.flag("pin_tier"),
        plain_http_allowed=table.flag("plain_http_allowed"),
        weight=table.number("weight", 1, 1, WEIGHT_MAX),
        priority=table.number("priority", 1, 1, PRIORITY_MAX),
        retry_unanswered=table.flag("retry_unanswered"),
        fallbacks=table.lists("fallbacks"),
        connect_seconds=table.number("connect_seconds", 10, 1, ANSWER_SECONDS_MAX),
        first_byte_seconds=table.number("first_byte_seconds", 900, 1, ANSWER_SECONDS_MAX),
        idle_seconds=table.number("idle_seconds", 300, 1, ANSWER_SECONDS_MAX),
        answer_seconds=table.number("answer_seconds", ANSWER_SECONDS_MAX, 1, ANSWER_SECONDS_MAX),
    )
    table.finished()
    return deployment


def _alerts(table: Table) -> AlertSettings:
    destinations, smtp = table.table("destinations"), table.table("smtp")
    thresholds = table.numbers("thresholds", (50, 80, 95), 1, 100, THRESHOLDS_MAX)
    if len(destinations.values) > DESTINATIONS_MAX:
        raise table.problem("destinations", f"has more than {DESTINATIONS_MAX} tables")
    alerts = AlertSettings(
        thresholds=tuple(sorted(set(thresholds))),
        destinations=tuple(_destination(name, destinations.table(name)) for name in destinations.values),
        smtp=_smtp(smtp) if smtp.values else None,
    )
    for one in alerts.destinations:
        if one.email and alerts.smtp is None:
            raise destinations.problem(one.name, "is a mail address, and no [alerts.smtp] says which server sends it")
    table.finished()
    return alerts


def _destination(name: str, table: Table) -> DestinationSettings:
    url = table.text_of("url").rstrip("/") if "url" in table.values else ""
    email = table.text_of("email") if "email" in table.values else ""
    if bool(url) == bool(email):
        raise table.problem("url", "or email must say where alerts go, one of them")
    if email and not re.fullmatch(r"[^@\s,<>]+@[^@\s,<>]+", email):
        raise table.problem("email", f"must be one mail address, not {email!r}")
    _refuse_open_url(table, "url", url)
    destination = DestinationSettings(
        name=name, url=url, email=email, signing_key=_signing_key(table) if url else b"", ca_file=_ca_file(table)
    )
    table.finished()
    return destination


def _refuse_open_url(table: Table, key: str, url: str) -> None:
    """What names amounts crosses no network unprotected."""
    if url and not re.fullmatch(
        r"https://[^\s/?#@]+(/\S*)?|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/\S*)?", url
    ):
        raise table.problem(key, f"must be https://host[:port][/path], or http to this machine, not {url!r}")


def _telemetry(table: Table) -> TelemetrySettings:
    url, rules = (
        table.text_of(key) if key in table.values else "" for key in ("otlp_metrics_url", "attribution_rules")
    )
    _refuse_open_url(table, "otlp_metrics_url", url)
    telemetry = TelemetrySettings(
        otlp_metrics_url=url,
        otlp_metrics_seconds=table.number("otlp_metrics_seconds", 30, 5, 3_600),
        token=_secret(table, "token") if table.values.keys() & {"token_env", "token_file"} else "",
        ca_file=_ca_file(table),
        attribution_rules=Path(rules).expanduser() if rules else None,
    )
    table.asked |= {"otlp_metrics_url", "attribution_rules", "ca_file", "token_env", "token_file"}
    table.finished()
    return telemetry


def _outcomes(table: Table) -> OutcomeSettings:
    secrets = {
        name: _secret(table, name) if table.values.keys() & {f"{name}_env", f"{name}_file"} else ""
        for name in ("github_secret", "gitlab_secret")
    }
    signs = table.values.keys() & {"signing_key_env", "signing_key_file"}
    table.asked |= {f"{name}_{where}" for name in (*secrets, "signing_key") for where in ("env", "file")}
    found = OutcomeSettings(**secrets, signing_key=_signing_key(table) if signs else b"")
    table.finished()
    return found


def _nodes(home: Path, table: Table) -> NodesSettings | None:
    if not table.values:
        return None
    settings = NodesSettings(
        listen=table.listen("listen", Listen(host="127.0.0.1", port=7443)),
        files=_line_files(home, table, "nodes/ca.crt", "nodes/ledger.crt", "nodes/ledger.key"),
        refused=table.texts("refused"),
        lease_seconds=table.number("lease_seconds", *NODE_LEASE_SECONDS),
    )
    table.finished()
    return settings


def _node(home: Path, table: Table) -> NodeSettings | None:
    if not table.values:
        return None
    url = table.text_of("ledger")
    try:
        ledger = listen_from_text(url.removeprefix("tls://") if url.startswith("tls://") else "")
    except SettingsError as error:
        raise table.problem(
            "ledger", f"must be tls://host:port, such as tls://ledger.example:7443, not {url!r}"
        ) from error
    least, most = NODE_WORKERS
    settings = NodeSettings(
        ledger=ledger,
        worker=table.number("worker", 0, least, most),
        files=_line_files(home, table, "ca.crt", "node.crt", "node.key"),
        alone=table.flag("alone"),
        when_cut_off=table.choice("when_cut_off", WHEN_CUT_OFF[0], WHEN_CUT_OFF),
        allow_credits_max=table.number("allow_credits_max", 0, 0, ALLOW_CREDITS_MAX),
    )
    if (settings.when_cut_off == "allow") != (settings.allow_credits_max > 0):
        raise table.problem(
            "allow_credits_max",
            'and when_cut_off = "allow" go together: it says how many credits the company carries at most',
        )
    table.finished()
    return settings


def _line_files(home: Path, table: Table, ca_file: str, certificate_file: str, key_file: str) -> LineFiles:
    """Files of certificates; a path that is not absolute lies in the home. They are read when a connection is made, so that a new one counts."""
    places = {"ca_file": ca_file, "certificate_file": certificate_file, "key_file": key_file}
    return LineFiles(**{key: home / Path(table.text_of(key, place)).expanduser() for key, place in places.items()})


def _smtp(table: Table) -> SmtpSettings:
    security = table.choice("security", "starttls", ("starttls", "tls", "none"))
    user = table.text_of("user") if "user" in table.values else ""
    smtp = SmtpSettings(
        host=table.text_of("host"),
        port=table.number("port", 465 if security == "tls" else 587, 1, 65_535),
        sender=table.text_of("sender"),
        security=security,
        user=user,
        password=_secret(table, "password") if user else "",
        ca_file=_ca_file(table),
    )
    if user and security == "none":
        raise table.problem("security", "must be starttls or tls where a password is sent")
    table.finished()
    return smtp


def _ca_file(table: Table) -> Path | None:
    return Path(table.text_of("ca_file")).expanduser() if "ca_file" in table.values else None


def _signing_key(table: Table) -> bytes:
    """The key of a webhook, as its receiver shows it: `whsec_` and 24 to 64 bytes in base64."""
    text = _secret(table, "signing_key")
    if not text:
        return b""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
        which = "signing_key_env" if "signing_key_env" in table.values else "signing_key_file"
        raise table.problem(which, "must hold whsec_ and 24 to 64 bytes in base64")
    return key


def _secret(table: Table, name: str) -> str:
    """A secret from the variable or file that the configuration names; a file of it is its owner's alone.

    A variable that is not set is an empty secret: only who sends needs it, and every command reads this file.
    """
    variable, file = f"{name}_env", f"{name}_file"
    table.asked |= {variable, file}
    if variable in table.values:
        return os.environ.get(table.text_of(variable), "")
    if file not in table.values:
        raise table.problem(variable, f"or {file} must say where the {name.replace('_', ' ')} is")
    path = Path(table.text_of(file)).expanduser()
    try:
        if path.stat().st_mode & 0o077:
            raise table.problem(file, f"names {path}, which others may read: chmod 600 it")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise table.problem(file, f"cannot be read: {error.strerror}") from error


def _api_key(table: Table) -> str:
    """The provider's key from the variable or file that the configuration names; keys never stand in the configuration itself."""
    table.asked |= {"api_key_env", "api_key_file"}
    others = [key for key in ("token_command", "keyless") if table.values.get(key)]
    given = others + [key for key in ("api_key_env", "api_key_file") if key in table.values]
    if others and len(given) > 1:
        raise table.problem(given[0], f"and {given[1]} exclude each other: one of them says how this provider knows us")
    if others:
        return ""
    if "api_key_env" in table.values:
        variable = table.text_of("api_key_env")
        return os.environ.get(variable, "")
    if "api_key_file" in table.values:
        path = Path(table.text_of("api_key_file")).expanduser()
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise table.problem("api_key_file", f"cannot be read: {error.strerror}") from error
    raise table.problem(
        "api_key_env", "or api_key_file must say where the provider's key is (or token_command, or keyless)"
    )
