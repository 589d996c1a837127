"""The line between a ledger and a gateway on another machine: TLS 1.3, both sides with a certificate of the company's one authority.

Who somebody is stands in the certificate alone: the ledger's names `ledger.tokenroll`, a node's the workers that it speaks for, as
`tokenroll:worker:64`. Addresses may change; they prove nothing. Files are read anew for each connection, so a new certificate needs no
restart.
"""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tokenroll.model.limits import NODE_HANDSHAKE_SECONDS_MAX, NODE_WORKER_MIN
from tokenroll.settings import LineFiles
from tokenroll.store.attempt_record import WORKER_MAX

LEDGER_NAME: Final = "ledger.tokenroll"
WORKER_PREFIX: Final = "tokenroll:worker:"
_WORKER: Final = re.compile(re.escape(WORKER_PREFIX) + r"(\d{1,3})")

_HANDSHAKE_WORDS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS 1.3",
    "WRONG_VERSION_NUMBER": "it speaks no TLS",
    "HTTP_REQUEST": "it speaks plain HTTP",
}


class LineError(Exception):
    """Certificates that cannot be used; the message says which file and what to do."""


class Peer(NamedTuple):
    """Whose certificate it is: the node's name, its workers, and when it expires, in seconds of the Unix clock."""

    name: str
    workers: frozenset[int]
    expires_at: float


def peer_of(certificate: Mapping[str, Any] | None) -> Peer:
    """The node of a certificate that was verified. Raises LineError for one that is no node's."""
    if not certificate:
        raise LineError("it showed no certificate")
    names = {key: value for part in certificate.get("subject", ()) for key, value in part}
    name = str(names.get("commonName", "")) or "a node without a name"
    uris = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    workers = frozenset(int(found[1]) for uri in uris if (found := _WORKER.fullmatch(uri)))
    if not workers:
        raise LineError(
            f"the certificate of {name} names no worker ({WORKER_PREFIX}{NODE_WORKER_MIN} or another number)"
        )
    strange = sorted(one for one in workers if not NODE_WORKER_MIN <= one <= WORKER_MAX)
    if strange:
        raise LineError(
            f"the certificate of {name} names worker {strange[0]}; those of other machines are {NODE_WORKER_MIN} to {WORKER_MAX}"
        )
    return Peer(name, workers, ssl.cert_time_to_seconds(certificate["notAfter"]))


class LedgerContext(ssl.SSLContext):
    """The ledger's side of one connection. `alert` is what TLS says after a handshake that failed: loops drop it, and with it the reason."""

    alert = b""
    _outgoing: ssl.MemoryBIO

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *options: Any, **named: Any) -> ssl.SSLObject:
        """As any context does; what goes out is remembered."""
        self._outgoing = outgoing
        return super().wrap_bio(incoming, outgoing, *options, **named)

    def failed(self) -> None:
        """A handshake has failed: what is to go out now is the alert."""
        self.alert = self._outgoing.read()


class _Handshake(ssl.SSLObject):
    """Tells its context of a failure before anybody else hears of it."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if isinstance(self.context, LedgerContext):
                self.context.failed()
            raise


def ledger_context(files: LineFiles) -> LedgerContext:
    """The ledger's side: nobody comes in without a certificate of the authority. For one connection. Raises LineError."""
    context = LedgerContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Handshake
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # a resumed session would be one whose certificate nobody looked at again
    _make_strict(context, files)
    return context


def node_context(files: LineFiles) -> ssl.SSLContext:
    """A node's side: it speaks to nobody but a ledger of the authority. Raises LineError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    _make_strict(context, files)
    return context


def _make_strict(context: ssl.SSLContext, files: LineFiles) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    _refuse_open(files.key_file)
    try:
        context.load_verify_locations(cafile=str(files.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise LineError(f"ca_file {files.ca_file} cannot be used: {_why(error)}") from error
    try:
        context.load_cert_chain(str(files.certificate_file), str(files.key_file))
    except (OSError, ssl.SSLError) as error:
        raise LineError(
            f"certificate_file {files.certificate_file} with key_file {files.key_file} cannot be used: {_why(error)}"
        ) from error


def _refuse_open(key_file: Path) -> None:
    """A key that others may read is not one's own any more."""
    try:
        mode = key_file.stat().st_mode
    except OSError as error:
        raise LineError(f"key_file {key_file} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise LineError(f"key_file {key_file} may be read by others: chmod 600 it")


def _why(error: OSError) -> str:
    return (
        str(error.strerror or error.__class__.__name__)
        if not isinstance(error, ssl.SSLError)
        else f"{error.reason or error}"
    )


def handshake_problem(error: Exception) -> str:
    """Why no line came about, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not taken ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return _HANDSHAKE_WORDS.get(error.reason or "", f"no TLS of ours ({error.reason or error})")
    if isinstance(error, TimeoutError | ConnectionAbortedError):
        return f"no handshake within {NODE_HANDSHAKE_SECONDS_MAX} s"
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
