"""What people decided of calls whose meter cannot be right: a file beside the lake's manifest, to which decisions are only ever added.

It names each call by the identity that its source gave it and holds what it cost when it was decided, so it stays true when files are
merged, when the lake is made anew, and without a ledger. It is replaced whole behind its digest, as the manifest is, under the same lock.
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from tokenroll.model.instant import Instant
from tokenroll.store.lake_manifest import Disk, LakeError, whole_and_digest, write_whole

DECISIONS: Final = "meter_decisions.json"
VERSION: Final = 1


class Verdict(StrEnum):
    """What a person found: the amount is as it should be and counts, or it is wrong and never does."""

    CONFIRMED = "confirmed"
    REJECTED = "rejected"


class MeterDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: of which calls of a source and model, who took it, why and when. A later one of the same call takes its place."""

    id: str
    """That of the write: the same one decides once."""
    verdict: Verdict
    source: str
    model: str
    event_ids: tuple[str, ...]
    list_cost_nanos: str
    """What these calls cost at list when it was decided, so that whoever reads the file sees how much it was about."""
    by: str
    reason: str
    decided_at: Instant


class _Decisions(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    decisions: tuple[MeterDecision, ...] = ()


def read_decisions(directory: Path) -> tuple[MeterDecision, ...]:
    """All decisions, the oldest first. Raises LakeError for a file that cannot be believed."""
    return decisions_and_digest(directory)[0]


def decisions_and_digest(directory: Path) -> tuple[tuple[MeterDecision, ...], str]:
    """All decisions, and the digest that says they are the same; empty if nobody decided yet. Raises LakeError."""
    path = directory / DECISIONS
    found, digest = whole_and_digest(path, _Decisions, "put it back from your backup, or move it aside and decide anew")
    if found is None:
        return (), digest
    if found.version != VERSION:
        raise LakeError(f"{path} is of version {found.version}, this release reads {VERSION}: use a newer release")
    return found.decisions, digest


def write_decisions(directory: Path, decisions: Iterable[MeterDecision], disk: Disk) -> None:
    """The file with one decision more than before; by the lake's one writer."""
    write_whole(directory / DECISIONS, _Decisions(decisions=tuple(decisions)), disk)


def verdicts(decisions: Iterable[MeterDecision]) -> dict[tuple[str, str], MeterDecision]:
    """The newest decision of each call, by source and identity."""
    return {(one.source, event_id): one for one in decisions for event_id in one.event_ids}
