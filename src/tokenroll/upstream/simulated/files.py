"""Files that the simulated provider keeps: uploaded ones, and those that it writes itself. Keeping and reading them costs nothing."""

import email
import email.policy
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tokenroll.upstream.simulated.asked import Refusal
from tokenroll.upstream.simulated.shapes import compact

_PLACE: Final = "/files"
_KEPT_BYTES_MAX: Final = 256 * 1024 * 1024
NAME_HEADER: Final = b"x-sim-name"
"""Under which id something is to be kept: the official suites ask for ids of their own making, and for the same one after deleting it."""
_EXPIRES_FIELD: Final = "expires_after[seconds]"


@dataclass(frozen=True, slots=True)
class File:
    """One file with what is told of it."""

    name: str
    filename: str
    purpose: str
    data: bytes
    created_at: int
    expires_at: int | None = None
    is_named: bool = False
    """Whether its client chose its id: then it is there again when it was deleted."""

    def object(self) -> dict[str, Any]:
        """As the provider tells it."""
        return {
            "id": self.name, "object": "file", "bytes": len(self.data), "created_at": self.created_at, "expires_at": self.expires_at,
            "filename": self.filename, "purpose": self.purpose, "status": "processed", "status_details": None,
        }  # fmt: skip


class FileDesk:
    """All files of a provider, the oldest forgotten first."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._files: dict[str, File] = {}
        self._count = 0
        self._kept_bytes = 0

    def put(
        self, filename: str, purpose: str, data: bytes, expires_seconds: int | None = None, *, name: str = ""
    ) -> File:
        """A file more; its id is drawn where nobody names one."""
        self._count += 1
        digest = hashlib.blake2b(f"{self._seed}/{self._count}".encode(), digest_size=12).hexdigest()
        now = int(time.time())
        expires_at = None if expires_seconds is None else now + expires_seconds
        file = File(name or f"file-{digest}", filename, purpose, data, now, expires_at, bool(name))
        self._files[file.name] = file
        self._kept_bytes += len(data)
        while self._kept_bytes > _KEPT_BYTES_MAX and len(self._files) > 1:
            self._kept_bytes -= len(self._files.pop(next(iter(self._files))).data)
        return file

    def get(self, name: str) -> File:
        """A file by its id. Raises Refusal."""
        file = self._files.get(name)
        if file is None:
            raise Refusal(404, "invalid_request_error", f"No such File object: {name}", "id")
        return file

    def answer(self, method: bytes, path: str, body: bytes, headers: dict[bytes, bytes]) -> bytes | None:
        """The answer to a request about files; None: it is about something else. Raises Refusal."""
        if path == _PLACE and method == b"POST":
            return compact(self._upload(body, headers).object())
        if path == _PLACE and method == b"GET":
            data = [one.object() for one in reversed(self._files.values())]
            ends = [data[0]["id"], data[-1]["id"]] if data else [None, None]
            return compact({"object": "list", "data": data, "first_id": ends[0], "last_id": ends[1], "has_more": False})
        if not path.startswith(_PLACE + "/"):
            return None
        name, _, verb = path.removeprefix(_PLACE + "/").partition("/")
        acts: dict[tuple[bytes, str], Callable[[File], bytes]] = {
            (b"GET", ""): lambda one: compact(one.object()), (b"GET", "content"): lambda one: one.data,
            (b"DELETE", ""): self._delete,
        }  # fmt: skip
        act = acts.get((method, verb))
        return None if act is None else act(self.get(name))

    def _upload(self, body: bytes, headers: dict[bytes, bytes]) -> File:
        message = email.message_from_bytes(
            b"content-type: " + headers.get(b"content-type", b"") + b"\r\n\r\n" + body, policy=email.policy.HTTP
        )
        parts = list(message.iter_parts()) if message.is_multipart() else []
        named = {str(one.get_param("name", header="content-disposition")): one for one in parts}
        file = named.get("file")
        fields = {
            name: bytes(one.get_payload(decode=True) or b"").decode() for name, one in named.items() if one is not file
        }
        if file is None or not fields.get("purpose"):
            missing = "file" if file is None else "purpose"
            raise Refusal(400, "invalid_request_error", f"Missing required parameter: '{missing}'.", missing)
        data = file.get_payload(decode=True)
        assert isinstance(data, bytes)
        seconds = fields.get(_EXPIRES_FIELD, "")
        expires_seconds = int(seconds) if seconds.isdigit() else None
        filename = file.get_filename() or "upload"
        return self.put(filename, fields["purpose"], data, expires_seconds, name=headers.get(NAME_HEADER, b"").decode())

    def _delete(self, file: File) -> bytes:
        if not file.is_named:
            del self._files[file.name]
            self._kept_bytes -= len(file.data)
        return compact({"id": file.name, "object": "file", "deleted": True})
