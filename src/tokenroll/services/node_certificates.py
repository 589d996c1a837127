"""The authority of a company's nodes and what it has issued, made by the program `openssl`: keys of the curve P-256, mode 0600.

In the folder `nodes` of the ledger's home: `ca.crt` and `ca.key`, `ledger.crt` and `ledger.key`, and `issued.json`, which says whose
the numbers are. A number is given once and belongs to its name for good: the journal knows workers by it.
"""

import os
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from tokenroll.model.instant import MICROS_PER_SECOND, Instant
from tokenroll.model.limits import NODE_WORKER_MIN
from tokenroll.services.node_line import LEDGER_NAME, WORKER_PREFIX
from tokenroll.store.attempt_record import WORKER_MAX

DAYS_DEFAULT: Final = 397
"""Thirteen months: a yearly round has a month to spare."""
DAYS_MAX: Final = 3_650
_AUTHORITY_DAYS: Final = 7_300
"""Twenty years: an authority that ends ends every node."""
_OPENSSL_SECONDS_MAX: Final = 30
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_DAY: Final = 86_400 * MICROS_PER_SECOND
_LEAF: Final = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {purpose}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""
_AUTHORITY: Final = """\
[req]
distinguished_name = names
x509_extensions = authority
[names]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


class CertificateError(Exception):
    """A certificate that was not made; the message says why."""


class Issued(msgspec.Struct, frozen=True):
    """What was issued to one node."""

    workers: list[int]
    expires_at: Instant


def issued(directory: Path) -> dict[str, Issued]:
    """By name: every node that has a certificate of this authority."""
    path = directory / "issued.json"
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Issued])
    except msgspec.MsgspecError as error:
        raise CertificateError(f"{path} is damaged ({error}): put it back from your backup") from error


def workers_for(known: Mapping[str, Issued], name: str, count: int) -> list[int]:
    """The numbers of a node's workers: those it has, or the first that nobody ever had. Raises CertificateError."""
    if not _NAME.fullmatch(name):
        raise CertificateError(
            f"a node's name has letters, digits, and . _ - within, 63 characters at most, not {name!r}"
        )
    mine = known[name].workers if name in known else []
    if mine and len(mine) != count:
        raise CertificateError(
            f"{name} has {len(mine)} worker(s), {mine[0]} and on, and keeps them: give another node another name"
        )
    first = (
        mine[0]
        if mine
        else max((one for each in known.values() for one in each.workers), default=NODE_WORKER_MIN - 1) + 1
    )
    if first + count - 1 > WORKER_MAX:
        raise CertificateError(
            f"workers of other machines are numbered {NODE_WORKER_MIN} to {WORKER_MAX}, and no {count} are left"
        )
    return list(range(first, first + count))


def issue(directory: Path, name: str, workers: list[int], target: Path, *, days: int, now: Instant) -> Issued:
    """`ca.crt`, `node.crt` and `node.key` in the folder `target`; the authority and the ledger's own certificate, if there are none yet.

    Raises CertificateError.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    if not (directory / "ca.key").exists():
        _make_authority(directory)
    if not (directory / "ledger.key").exists():
        _sign(directory, directory / "ledger.crt", LEDGER_NAME, "serverAuth", f"DNS:{LEDGER_NAME}", _AUTHORITY_DAYS)
    known = issued(directory)
    made = Issued(workers, now + days * _DAY)
    _replace(directory / "issued.json", msgspec.json.format(msgspec.json.encode({**known, name: made}), indent=2))
    names = ", ".join(f"URI:{WORKER_PREFIX}{worker}" for worker in workers)
    _sign(directory, target / "node.crt", name, "clientAuth", names, days)
    _replace(target / "ca.crt", (directory / "ca.crt").read_bytes())
    return made


def _make_authority(directory: Path) -> None:
    with _workshop(directory) as shop:
        (shop / "request").write_text(_AUTHORITY, encoding="ascii")
        _openssl(
            shop, "req", "-x509", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256",
            "-config", "request", "-subj", "/CN=tokenroll nodes", "-days", str(_AUTHORITY_DAYS), "-keyout", "key", "-out", "crt",
        )  # fmt: skip
        (shop / "key").replace(directory / "ca.key")
        (shop / "crt").replace(directory / "ca.crt")


def _sign(directory: Path, certificate: Path, name: str, purpose: str, names: str, days: int) -> None:
    """A key and a certificate for it, side by side, each whole or not there."""
    with _workshop(certificate.parent) as shop:
        (shop / "request").write_text("[req]\ndistinguished_name = names\n[names]\n", encoding="ascii")
        (shop / "leaf").write_text(_LEAF.format(purpose=purpose, names=names), encoding="ascii")
        _openssl(
            shop, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256", "-config", "request",
            "-subj", f"/CN={name}", "-keyout", "key", "-out", "csr",
        )  # fmt: skip
        _openssl(
            shop, "x509", "-req", "-in", "csr", "-sha256", "-CA", str(directory / "ca.crt"), "-CAkey", str(directory / "ca.key"),
            "-set_serial", str(secrets.randbits(127)), "-days", str(days), "-extfile", "leaf", "-out", "crt",
        )  # fmt: skip
        (shop / "key").replace(certificate.with_suffix(".key"))
        (shop / "crt").replace(certificate)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder beside the result, so that what is whole is moved and nothing else stays."""
    with TemporaryDirectory(prefix=".new-", dir=folder.absolute()) as shop:
        yield Path(shop)


def _openssl(folder: Path, *arguments: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - found on the path as any program; names and numbers are checked
            ["openssl", *arguments],  # noqa: S607 - as above
            cwd=folder, umask=0o077, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_OPENSSL_SECONDS_MAX,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise CertificateError(
            "the program openssl is not on this machine: install it, or take certificates of your own authority (docs/nodes.md)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CertificateError(f"openssl {arguments[0]} did not end within {_OPENSSL_SECONDS_MAX} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise CertificateError(f"openssl {arguments[0]} ended with {done.returncode}: {lines[-1]}")


def _replace(path: Path, data: bytes) -> None:
    """A file of its owner's alone, whole or as it was."""
    half = path.with_name(f".{path.name}.new")
    half.unlink(missing_ok=True)
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
