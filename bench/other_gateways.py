"""Other gateways beside ours: each pinned, in an environment of its own in $BENCH_DIR, one worker, as its makers recommend.

Whoever cannot be installed here says why by CannotRunError, and the run goes on without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from bench.machine import DIR, HERE
from bench.subjects import MOCK_PORT, Program
from judge.environments import environment, run
from judge.gateway import CannotRunError

PLACE = DIR / "others"
PEERS = HERE / "peers"
MASTER_KEY = "sk-bench"
PROVIDER_KEY = "sk-upstream"


class Other(Program):
    """A gateway of others. What it is asked is what it can carry: `rate` calls a second, `streams` at a time."""

    title = ""
    rate = 3000
    streams = 1000
    tests: tuple[str, ...] = ("calls-1k", "calls-76k", "streams", "latency")

    def prepare(self) -> str:
        """Its version, once it is installed. Raises CannotRunError."""
        raise CannotRunError("it is not known how")


def locked(name: str, versions: list[str]) -> Path:
    """The `bin` folder of an environment with what bench/peers/NAME.lock names, by its hashes. Raises CannotRunError."""
    lock = PEERS / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return environment(f"{name}-{digest}", ["--require-hashes", "--requirement", str(lock)], versions, PLACE)


def pinned(name: str) -> str:
    """The version in bench/peers/NAME.txt."""
    return (PEERS / f"{name}.txt").read_text().strip().partition("==")[2]


class Envoy(Other):
    """Envoy as a plain HTTP proxy with one worker thread; `limited`: with a local rate limit that never refuses."""

    def __init__(self, *, limited: bool = False) -> None:
        super().__init__()
        self.limited = limited
        self.name = "envoy" + "-limited" * limited
        self.title = "Envoy" + ", local rate limit" * limited

    def prepare(self) -> str:
        self._bin = locked("envoy", ["3.11", "3.12", "3.13", "3.14"])
        return pinned("envoy")

    def command(self) -> list[str]:
        file = DIR / f"{self.name}.json"
        file.write_text(json.dumps(envoy_configuration(self.port, limited=self.limited)))
        [program] = (self._bin.parent / "lib").glob("python3.*/site-packages/envoy/_bin/envoy")
        return [str(program), "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]  # fmt: skip


def typed(kind: str, **values: Any) -> dict[str, Any]:
    """A part of Envoy's configuration of a named kind."""
    return {"@type": f"type.googleapis.com/envoy.extensions.filters.{kind}", **values}


def envoy_configuration(port: int, *, limited: bool) -> dict[str, Any]:
    """Calls are passed on with the provider's own key, kept alive on both sides, without a limit of time or number in the way."""
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "1s"}
    limit = typed(
        "http.local_ratelimit.v3.LocalRateLimit", stat_prefix="limit", token_bucket=bucket, filter_enabled=always, filter_enforced=always
    )  # fmt: skip
    filters = [{"name": "envoy.filters.http.local_ratelimit", "typed_config": limit}] if limited else []
    filters.append({"name": "envoy.filters.http.router", "typed_config": typed("http.router.v3.Router")})
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "provider", "timeout": "0s"}}],
        "request_headers_to_add": [
            {"header": {"key": "authorization", "value": f"Bearer {PROVIDER_KEY}"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }  # fmt: skip
    manager = typed(
        "network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="calls", codec_type="HTTP1", generate_request_id=False,
        stream_idle_timeout="0s", route_config={"virtual_hosts": [host]}, http_filters=filters,
    )  # fmt: skip
    listener = {
        "address": at(port),
        "tcp_backlog_size": 8192,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    many = {"max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192}
    cluster = {
        "name": "provider",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "provider", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(MOCK_PORT)}}]}]},
    }  # fmt: skip
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def at(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class LiteLLM(Other):
    """LiteLLM's proxy: one worker, no database, and else what its page on production says: production mode, only errors logged.

    Never 1.82.7, 1.82.8 or 1.107.0: these releases were malicious.
    """

    name = "litellm"
    title = "LiteLLM proxy"
    key = MASTER_KEY
    rate = 50
    streams = 40
    warm_up = 2.0

    def prepare(self) -> str:
        self._bin = locked("litellm", ["3.13", "3.12"])
        return pinned("litellm")

    def command(self) -> list[str]:
        model = {"model": "openai/gpt-4o-mini", "api_base": f"http://127.0.0.1:{MOCK_PORT}/v1", "api_key": PROVIDER_KEY}
        configuration = {
            "model_list": [{"model_name": "gpt-4o-mini", "litellm_params": model}],
            "general_settings": {"master_key": MASTER_KEY},
            "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
        }
        file = DIR / "litellm.yaml"
        file.write_text(json.dumps(configuration))  # JSON is YAML
        folder = PLACE / "empty" / "empty"  # it imports from the folder two above the one it is started in
        folder.mkdir(parents=True, exist_ok=True)
        programs = ["env", f"--chdir={folder}", *(str(self._bin / name) for name in ("python", "litellm"))]
        return [*programs, "--config", str(file), "--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "1"]

    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        says = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return {**own, **says, "LITELLM_TELEMETRY": "False"}


class Portkey(Other):
    """Portkey's gateway as its package starts it; `mended`: for streams alone, with peers/portkey/streams.mjs."""

    extra = f"x-portkey-provider: openai|x-portkey-custom-host: http://127.0.0.1:{MOCK_PORT}/v1"
    rate = 300
    streams = 200
    warm_up = 20.0

    def __init__(self, *, mended: bool = False) -> None:
        super().__init__()
        self.mended = mended
        self.name = "portkey" + "-mended" * mended
        self.title = "Portkey gateway" + ", mended" * mended
        self.tests = ("streams",) if mended else ("calls-1k", "calls-76k", "latency")

    def prepare(self) -> str:
        programs = {name: shutil.which(name) for name in ("node", "npm")}
        if missing := [name for name, path in programs.items() if path is None]:
            raise CannotRunError(f"there is no {' and no '.join(missing)} here")
        source, self._folder = PEERS / "portkey", PLACE / "portkey"
        lock = (source / "package-lock.json").read_text()
        stamp = self._folder / "ready"
        if not (stamp.is_file() and stamp.read_text() == lock):
            shutil.rmtree(self._folder, ignore_errors=True)
            shutil.copytree(source, self._folder)
            options = ("--ignore-scripts", "--no-audit", "--no-fund")
            run("install it", str(programs["npm"]), "ci", *options, cwd=self._folder)
            stamp.write_text(lock)
        version: str = json.loads((source / "package.json").read_text())["dependencies"]["@portkey-ai/gateway"]
        return version

    def command(self) -> list[str]:
        program = self._folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
        mend = ["--import", str(self._folder / "streams.mjs")] if self.mended else []
        return [shutil.which("node") or "node", *mend, str(program), f"--port={self.port}", "--headless"]


def others() -> dict[str, list[Other]]:
    """By the name they are asked for: what is measured in one round, beside nginx and ours."""
    return {
        "envoy": [Envoy(), Envoy(limited=True)],
        "litellm": [LiteLLM()],
        "portkey": [Portkey(), Portkey(mended=True)],
    }
