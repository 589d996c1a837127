"""Keys that live for an hour: a deployment's `token_command` is run at the start and again before its token ends, never for a call."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from tokenroll.gateway.deployment import Target
from tokenroll.model.limits import TOKEN_BYTES_MAX, TOKEN_COMMAND_SECONDS_MAX, TOKEN_RETRY_SECONDS

_log = logging.getLogger(__name__)

_LIVED_SHARE: Final = 0.8
"""Which part of its time a token is used before the next one is fetched: what fails then can be tried again while it still serves."""


class TokenError(Exception):
    """A token command that gave no token; the message says why, and never what it printed."""


class TokenKeeper:
    """The token of one target, kept fresh by one task."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fetches the first token, or says why there is none: then the deployment cannot be reached until there is one."""
        wait_seconds = await self._refresh()
        self._task = asyncio.get_running_loop().create_task(self._keep(wait_seconds))

    async def stop(self) -> None:
        """No more commands."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self, wait_seconds: float) -> None:
        while True:
            await asyncio.sleep(wait_seconds)
            wait_seconds = await self._refresh()

    async def _refresh(self) -> float:
        """Until when the next one is fetched, in seconds."""
        deployment = self._target.deployment
        try:
            self._target.use_token(await token_from(deployment.token_command))
        except TokenError as error:
            _log.warning("deployment %s: %s", deployment.name, error)
            self._target.lacks_token(str(error))
            return TOKEN_RETRY_SECONDS
        return deployment.token_seconds * _LIVED_SHARE


async def token_from(command: tuple[str, ...]) -> str:
    """What the command prints, without the blanks around it. Raises TokenError for what can be no token."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise TokenError(f"token_command {command[0]!r} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(TOKEN_COMMAND_SECONDS_MAX):
            assert process.stdout is not None
            printed = await process.stdout.read(TOKEN_BYTES_MAX + 1)
            if len(printed) > TOKEN_BYTES_MAX:
                raise TokenError(f"token_command {command[0]!r} printed more than {TOKEN_BYTES_MAX} bytes")
            code = await process.wait()
    except TimeoutError as error:
        raise TokenError(f"token_command {command[0]!r} did not end within {TOKEN_COMMAND_SECONDS_MAX} s") from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    token = printed.strip()
    if code != 0:
        raise TokenError(f"token_command {command[0]!r} ended with {code}")
    if not token or any(not 0x21 <= byte <= 0x7E for byte in token):
        raise TokenError(f"token_command {command[0]!r} printed no token: one line without blanks is expected")
    return token.decode("ascii")
