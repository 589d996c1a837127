"""Otari (mozilla-ai/otari), from a checkout of its source: what the package index has under that name is its client."""

import itertools
import json
import signal
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from judge.adapters.over_http import MASTER_KEY, OverHttp
from judge.environments import FOLDER, environment, run
from judge.gateway import CannotRunError, NotOfferedError, Program, Purse, Setting, Standing, free_port, nanos_of

SOURCE = FOLDER / "otari/source"
PRICES = {
    "openai:gpt-4o": {"input": 2.5, "cache_read": 1.25, "output": 10},
    "openai:gpt-4o-mini": {"input": 0.15, "cache_read": 0.075, "output": 0.6},
    "anthropic:claude-haiku-4-5": {
        "input": 1,
        "cache_read": 0.1,
        "cache_write": 1.25,
        "cache_write_1h": 2,
        "output": 5,
    },
}
ROWS_PER_PAGE = 100
WINDOW_SECONDS = 40


class Otari(OverHttp):
    """See the module. A purse is a user with a budget; its own store is SQLite."""

    name = "otari"
    scopes = ("api_token",)
    grain_nanos = 1_000
    quiet_seconds = 10.0
    master_header: ClassVar[Mapping[str, str]] = {"Otari-Key": MASTER_KEY}

    def prepare(self) -> str:
        if not (SOURCE / "pyproject.toml").exists():
            raise CannotRunError(
                "there is no checkout of mozilla-ai/otari at .judges/otari/source, and the package index has its client only"
            )
        self._numbers = itertools.count(1)
        self._windowed: set[str] = set()
        self._bin = environment("otari", ["--editable", str(SOURCE)], ["3.13"])
        commit = run("ask for its commit", "git", "-C", str(SOURCE), "log", "-1", "--format=%h, %cs")
        return f"{commit.strip()}, SQLite"

    # ---- life ----

    def start(self, setting: Setting) -> None:
        if setting.workers > 1:
            raise NotOfferedError("`otari serve` has no option for several workers")
        if setting.fallback_door is not None:
            raise NotOfferedError("a routing policy between two providers is not set up by this adapter")
        self.setting = setting
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        (setting.folder / "config.yml").write_text(json.dumps(self._config()))  # JSON is YAML
        command = [str(self._bin / "otari"), "serve", "--config", str(setting.folder / "config.yml")]
        self._program = Program(command, setting.folder / "log")
        self.restart()

    def restart(self) -> None:
        self._program.start(lambda: self.answers("/health"), cwd=self.setting.folder)

    def kill(self) -> None:
        self._program.end(signal.SIGKILL)

    stop = kill

    def _config(self) -> dict[str, Any]:
        door = self.setting.door
        patience = {"client_args": {"timeout": self.setting.patience_seconds}} if self.setting.patience_seconds else {}
        return {
            "database_url": f"sqlite:///{self.setting.folder}/otari.db",
            "host": "127.0.0.1", "port": self._port, "master_key": MASTER_KEY,
            "providers": {
                "openai": {"api_key": "sk-the-company", "api_base": door.openai_base_url, **patience},
                "anthropic": {"api_key": "sk-the-company", "api_base": door.base_url, **patience},
            },
            "pricing": {
                model: {f"{name}_price_per_million": price for name, price in prices.items()}
                for model, prices in PRICES.items()
            },
        }  # fmt: skip

    # ---- budgets ----

    def model(self, name: str) -> str:
        return f"{'anthropic' if name.startswith('claude') else 'openai'}:{name}"

    def budget(self, nanos: int, scope: str = "", *, seconds: int | None = None) -> Purse:
        user = f"judged-{next(self._numbers)}"
        limit = {"max_budget": nanos / 10**9 if not scope else 1_000, "budget_duration_sec": seconds}
        budget = self.asked("POST", "/v1/budgets", limit)["budget_id"]
        self.asked("POST", "/v1/users", {"user_id": user, "budget_id": budget})
        key = self.asked("POST", "/v1/keys", {"key_name": user, "user_id": user})
        if scope:
            narrow = self.asked("POST", "/v1/budgets", {"max_budget": nanos / 10**9})["budget_id"]
            self.asked("POST", "/v1/scoped-budgets", {"scope_type": scope, "scope_id": key["id"], "budget_id": narrow})
        return Purse(key["key"], nanos, user)

    def windowed(self, nanos: int) -> tuple[Purse, float]:
        purse = self.budget(nanos, seconds=WINDOW_SECONDS)
        self._windowed.add(purse.subject)
        return purse, time.time() + WINDOW_SECONDS

    def standing(self, purse: Purse) -> Standing:
        """Where a period ends, what was spent is set to nothing; then the rows say what was."""
        told = self.asked("GET", f"/v1/users/{purse.subject}")
        spent, held = nanos_of(told["spend"]), nanos_of(told["reserved"])
        if purse.subject in self._windowed:
            spent = sum(self.rows(purse))
        return Standing(spent, held, purse.nanos - spent - held)

    def rows(self, purse: Purse) -> list[int]:
        charges: list[int] = []
        while True:
            path = f"/v1/usage?user_id={purse.subject}&limit={ROWS_PER_PAGE}&skip={len(charges)}"
            page = self.asked("GET", path)
            charges += [nanos_of(one["cost"] or 0) for one in page]
            if len(page) < ROWS_PER_PAGE:
                return charges

    def admin_key(self) -> str:
        return MASTER_KEY

    def admin_spent_nanos(self) -> int:
        users = self.asked("GET", "/v1/users")
        return sum(nanos_of(one["spend"]) for one in users if one["budget_id"])

    def misspelt(self) -> list[tuple[str, bool]]:
        tried: dict[str, dict[str, Any]] = {"/v1/budgets": {"max_budgett": 1}, "/v1/users": {"user_id": "misspelt", "budget": "none"},
                 "/v1/keys": {"key_name": "misspelt", "max_budget": 1}}  # fmt: skip
        return [
            (f"`POST {path}` with {fields}", self.tried("POST", path, fields)[0] >= 400)
            for path, fields in tried.items()
        ]

    def echoed(self, nanos: int) -> int:
        return nanos_of(self.asked("POST", "/v1/budgets", {"max_budget": nanos / 10**9})["max_budget"])
