"""Checks that many nouns share at birth, so that an invalid one cannot exist."""

from tokenroll.model.limits import NAME_CHARACTERS_MAX, NAMES_PER_TERM_MAX


def id_checked(value: int, what: str) -> int:
    """The same inside id, proven positive and within int64. Raises ValueError."""
    if type(value) is not int or not 0 < value < 2**63:
        message = f"{what} must be a positive 63-bit integer, not {value!r}"
        raise ValueError(message)
    return value


def name_checked(value: str, what: str) -> str:
    """The same text, proven non-empty, printable and not longer than a name may be. Raises ValueError."""
    if not value or len(value) > NAME_CHARACTERS_MAX or not value.isprintable():
        message = f"{what} must be 1 to {NAME_CHARACTERS_MAX} printable characters, not {value[:40]!r}"
        raise ValueError(message)
    return value


def names_checked(names: tuple[str, ...], what: str) -> None:
    """Each is a name, none stands twice, and there are not too many. Raises ValueError."""
    if len(names) > NAMES_PER_TERM_MAX:
        message = f"{what}: at most {NAMES_PER_TERM_MAX} names, not {len(names)}"
        raise ValueError(message)
    for name in names:
        name_checked(name, what)
    if len(set(names)) < len(names):
        message = f"{what}: a name stands twice in {', '.join(names)}"
        raise ValueError(message)
