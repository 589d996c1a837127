"""The naive proxy as a gateway like any other: what the judge must find guilty."""

import http.client
import json
import signal
import sys
from pathlib import Path
from typing import Any

from judge.gateway import Gateway, NotOfferedError, Program, Purse, Setting, Standing, free_port


class Naive(Gateway):
    """See `naive_proxy.py`."""

    name = "naive"
    quiet_seconds = 1.0

    def start(self, setting: Setting) -> None:
        if setting.workers > 1 or setting.fallback_door is not None:
            raise NotOfferedError("one process, one provider")
        self.setting = setting
        self._port = free_port()
        self.base_url = f"http://127.0.0.1:{self._port}"
        script = str(Path(__file__).with_name("naive_proxy.py"))
        store = str(setting.folder / "purses.json")
        command = [sys.executable, script, setting.door.base_url, str(self._port), store]
        self._program = Program(command, setting.folder / "log")
        self._program.start(self._listens)

    def restart(self) -> None:
        self._program.start(self._listens)

    def kill(self) -> None:
        self._program.end(signal.SIGKILL)

    stop = kill

    def budget(self, nanos: int, scope: str = "") -> Purse:
        if scope:
            raise NotOfferedError("keys have budgets, nothing else has")
        key = self._asked("POST", "/budget", json.dumps({"nanos": nanos}).encode())["key"]
        return Purse(key, nanos, key)

    def standing(self, purse: Purse) -> Standing:
        """What it says; a purse that it has forgotten was never spent from."""
        said = self._asked("GET", "/left", b"", purse.key)
        spent = said.get("spent", 0)
        return Standing(spent, 0, purse.nanos - spent)

    def misspelt(self) -> list[tuple[str, bool]]:
        said = self._asked("POST", "/budget", json.dumps({"nanoss": 5}).encode())
        return [("a budget of `nanoss`", "key" not in said)]

    def _listens(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        connection.connect()
        connection.close()
        return True

    def _asked(self, method: str, path: str, body: bytes, key: str = "") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, body, {"authorization": f"Bearer {key}"})
            return json.loads(connection.getresponse().read() or b"{}")
        except (http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()
