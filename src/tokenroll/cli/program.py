"""`tokenroll NOUN VERB`: finds the noun's file, runs it, and turns what it raises into a sentence and an exit code.

Nouns are a table of names, not imports, so that `--help` and every command start without loading the others (start-up is
most of a short command's time).
"""

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

from tokenroll import __version__
from tokenroll.cli import giving_way

NOUNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "init": "make a home: config, secret, ledger, the company",
        "serve": "run ledger, gateway and pages; --observe refuses nobody",
        "node": "gateways on other machines: certificate, list, serve",
        "analyse": "who used what, from logs on this machine: list cost, waste, what comes next, seats",
        "demo": "the whole product on a made-up company, every sum checked",
        "department": "cost centres: create, list, show",
        "member": "people and service accounts: create, import, change, suspend, absence, leave",
        "plan": "dated templates of grants: create, list, show, try, check, diff, apply, export, reclassify",
        "grant": "awards: create, import, top-up, vest, accelerate, forfeit, clawback, void, list, show",
        "proposal": "awards that another administrator approves: create, approve, reject, require, list, show",
        "offer": "grants promised to candidates: create, accept, grant, list, show",
        "wallet": "what is left, in use, spent: list, show, transfer; open from a file",
        "pool": "shared wallets of a department or the company: create, set, list",
        "request": "top-ups that members ask for: create, approve, decline, list",
        "approver": "who may approve them: set, remove, delegate, list",
        "limit": "caps per window on people, models, tags: create, list, show, override, remove",
        "thrift": "what the gateway saved by itself: report",
        "alert": "who is told at 50, 80, 95 %: list, destinations, test, retry",
        "refill": "standing top-ups, approved once and bounded: create, remove, list",
        "key": "secrets that spend a wallet: create, list, revoke",
        "cost": "why costs changed, what does not fit, what an outcome costs, what if",
        "ratecard": "dated prices: import, list, show, set",
        "client": "settings for Claude Code, Codex, SDKs and curl: show",
        "doctor": "one call as a client makes it: what broke, and what to do",
        "call": "one call with its arithmetic and its proof: show",
        "usage": "what everybody used, from every source: query, seal, verify, retain",
        "forecast": "what comes next and how sure, scenarios, wallets that run dry: show, backtest, runway, infrastructure",
        "payrun": "pay cycles: preview, run, close, reopen, off-cycle, calendar, pay-days, dates, list",
        "payslip": "one person's paper: list, show",
        "reconcile": "compare the ledger with a provider's reports, settle what is being checked",
        "journal": "verify the books from empty; export them as text",
        "replay": "send a recorded trace through a gateway and check every sum",
        "simulate": "a simulated provider with its own bill",
    }
)
USAGE: Final = "usage: tokenroll NOUN VERB [options]"


class Failure(Exception):  # noqa: N818 - what a person is told, not a defect of the program
    """What a command could not do: a sentence with the next step. `code` 1: refused or found wanting; 2: wrong usage."""

    def __init__(self, message: str, *, kind: str = "refused", code: int = 1) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class OutputError(Failure):
    """What a command did could not be told: standard output is full or closed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"standard output cannot be written: {why}", kind="output")
        self.why = why


_MUST_BE_SEEN: Final = ContextVar("must_be_seen", default=False)


def put(text: str) -> None:
    """Text on standard output, and out of this process before anything else is done. Raises OutputError.

    Who closed the pipe has read enough (`| head -1`): the command goes on and ends as it would have, unless within `must_be_seen`.
    """
    if sys.stdout is None:
        raise OutputError("it is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _forget_output()
        if error.errno == errno.EPIPE and not _MUST_BE_SEEN.get():
            return
        raise OutputError(error.strerror or str(error)) from error


@contextlib.contextmanager
def must_be_seen() -> Iterator[None]:
    """Within it even a closed pipe is an OutputError: what is shown only once is lost when nobody reads it."""
    before = _MUST_BE_SEEN.set(True)
    try:
        yield
    finally:
        _MUST_BE_SEEN.reset(before)


def _forget_output() -> None:
    """What could not be written is not tried again: the interpreter would, at its end, with a traceback."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command line: 0 done, 1 refused or found wanting, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    if arguments is None and tuple(given[:2]) in giving_way.COMMANDS:
        giving_way.give_way()
    try:
        code = _run(given, as_json=as_json)
        put("")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        failure = failure_from(error)
        if failure is None:
            raise
        _print_failure(failure, as_json=as_json)
        return failure.code
    return code


def _run(given: list[str], *, as_json: bool) -> int:
    if not given or given[0] in {"-h", "--help", "help"}:
        _print_help()
        return 0
    if given[0] in {"-V", "--version"}:
        put(f"tokenroll {__version__}\n")
        return 0
    noun = given[0]
    if noun not in NOUNS:
        sys.stderr.write(_unknown(noun))
        return 2
    return _run_noun(noun, given[1:], as_json=as_json)


def _run_noun(noun: str, arguments: list[str], *, as_json: bool) -> int:
    import typer

    module = importlib.import_module(f"tokenroll.cli.{noun}")
    command = typer.main.get_command(module.app)
    try:
        # a program that asked for JSON gets its wrong usage as JSON, so typer must not print it for people and exit
        done = command.main(args=arguments, prog_name=f"tokenroll {noun}", standalone_mode=not as_json)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except Exception as error:
        told = getattr(error, "format_message", None)
        if not as_json or told is None:
            raise
        raise Failure(told(), kind="usage", code=2) from error
    return done if isinstance(done, int) else 0


def failure_from(error: Exception) -> Failure | None:
    """The sentence for errors that a person can act on; None for a defect, which keeps its traceback."""
    from tokenroll.model.amount import AmountError
    from tokenroll.settings_table import SettingsError

    if isinstance(error, Failure):
        return error
    if isinstance(error, SettingsError):
        return Failure(str(error), kind="settings")
    if isinstance(error, AmountError):
        return Failure(str(error), kind="amount", code=2)
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(f"{error.filename}: {error.strerror}", kind="file")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE}:
        from tokenroll.settings import home_from_environment

        place = f"standard output, or a file of {home_from_environment()},"
        return Failure(f"{place} cannot be written: {error.strerror}", kind="file")
    # looked up and not imported: the store is heavy, and who did not load it cannot have raised its error
    database = sys.modules.get("tokenroll.store.database")
    if database is not None:
        if isinstance(error, database.SchemaError):
            return Failure(str(error), kind="schema")
        from tokenroll.settings import home_from_environment

        trouble = database.storage_problem(error, home_from_environment())
        if database.is_lost(error):  # what was under way then may have been done
            return Failure(trouble, kind="storage")
        return Failure(f"{trouble}; nothing was changed", kind="storage") if trouble else None
    return None


def _print_failure(failure: Failure, *, as_json: bool) -> None:
    if as_json:
        import json

        with contextlib.suppress(OutputError):
            put(json.dumps({"problem": {"kind": failure.kind, "detail": str(failure)}}, indent=2) + "\n")
    sys.stderr.write(f"tokenroll: {failure}\n")


def _print_help() -> None:
    width = max(map(len, NOUNS))
    lines = [
        f"tokenroll {__version__} - payroll for AI tokens",
        "",
        USAGE,
        "",
        *(f"  {noun:<{width}}  {meaning}" for noun, meaning in NOUNS.items()),
        "",
        "Every listing has --json; every write has --dry-run and --id. Exit codes: 0 done, 1 refused or found wanting, 2 usage.",
        "State lives in TOKENROLL_HOME (default ~/.tokenroll). `tokenroll NOUN --help` tells more; `tokenroll demo` shows it all.",
    ]
    put("\n".join(lines) + "\n")


def _unknown(noun: str) -> str:
    import difflib

    near = difflib.get_close_matches(noun, NOUNS, n=1)
    hint = f"did you mean `tokenroll {near[0]}`?" if near else "`tokenroll --help` lists them."
    return f"tokenroll: there is no {noun!r}; {hint}\n"
