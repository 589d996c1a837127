"""Forms (multipart/form-data) as requests send them: read strictly and once, files never copied nor looked into.

Two readers of a loose form may see two different requests, and a bound must hold for what the provider reads. So whatever is not
plain is refused: text around the parts, headers nobody needs, names with odd characters, one field twice, or once plain and once as
a list or an object. Files are not judged here: several may have one name, for that is how a list of them is sent. Which there may be,
each endpoint says, and it refuses a text of a file's name (`form_endpoint.refuse_texts`).
"""

import re
from typing import Final

from tokenroll.model.limits import (
    FORM_FIELD_BYTES_MAX,
    FORM_NAME_LEVELS_MAX,
    FORM_PART_HEAD_BYTES_MAX,
    FORM_PARTS_MAX,
)
from tokenroll.upstream.dialect import RequestRefused
from tokenroll.upstream.heads import refuse

FORM_TYPE: Final = b"multipart/form-data"
_CONTENT_TYPE: Final = re.compile(
    rb"""multipart/form-data[ \t]*;[ \t]*boundary=(?:"([0-9A-Za-z'()+_,\-./:=? ]{1,70})"|([0-9A-Za-z'+_\-.]{1,70}))""",
    re.IGNORECASE,
)
_DISPOSITION: Final = re.compile(
    rb"""form-data[ \t]*;[ \t]*name="([0-9A-Za-z_.\-]{1,64})((?:\[[0-9A-Za-z_.\-]{0,64}\]){0,%d})"(?:[ \t]*;[ \t]*(filename)="(?:[^"\\\r\n]|\\.)*")?"""
    % FORM_NAME_LEVELS_MAX,
    re.IGNORECASE,
)
_PART_HEADERS: Final = frozenset({b"content-disposition", b"content-type"})
_END: Final = re.compile(rb"--[ \t]*(?:\r\n)?\Z")


class FormFile:
    """One file of a form: its name, the brackets behind it, and where its bytes stand in the body."""

    __slots__ = ("brackets", "end", "name", "start")

    def __init__(self, name: str, brackets: str, start: int, end: int) -> None:
        self.name = name
        self.brackets = brackets
        self.start = start
        self.end = end


class Form:
    """A form's fields and files. What has brackets behind its name (`include[]`, `svg[reasoning][effort]`) is no field of one value."""

    __slots__ = ("fields", "file_bytes", "files", "inner", "nested", "spans")

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        """Where the value of each field begins and ends in the body."""
        self.nested: dict[str, list[tuple[int, int]]] = {}
        """The same of every value in a list or an object, by its name before the brackets."""
        self.inner: set[str] = set()
        """The whole names of those values that are no entries of a plain list."""
        self.files: list[FormFile] = []
        self.file_bytes = 0


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a content type names; empty when it is no plain one of a form."""
    match = _CONTENT_TYPE.fullmatch(content_type.strip(b" \t"))
    return b"" if match is None else match[1] or match[2]


def read_form(body: bytes, boundary: bytes) -> Form:
    """The fields and files of a form. Raises RequestRefused for what is not one plain form."""
    delimiter = b"--" + boundary
    if not boundary or not body.startswith(delimiter):
        raise _malformed("it does not begin with the boundary that its content type names")
    form = Form()
    at = len(delimiter)
    between = b"\r\n" + delimiter
    for _ in range(FORM_PARTS_MAX):
        if body.startswith(b"--", at):
            if _END.match(body, at) is None:
                raise _malformed("something follows its last boundary")
            return form
        if not body.startswith(b"\r\n", at):
            raise _malformed("a boundary is not a line of its own")
        head_end = body.find(b"\r\n\r\n", at, at + FORM_PART_HEAD_BYTES_MAX)
        if head_end < 0:
            raise _malformed(f"a part has no head of at most {FORM_PART_HEAD_BYTES_MAX} bytes")
        start = head_end + 4
        end = body.find(between, start - 2)
        if end < 0:
            raise _malformed("its last part has no end")
        # an empty part's blank line is the line before the boundary, too
        _take(form, body, body[min(at + 2, head_end) : head_end], start, max(end, start))
        at = end + len(between)
    raise _malformed(f"it has more than {FORM_PARTS_MAX} parts")


def _take(form: Form, body: bytes, head: bytes, start: int, end: int) -> None:
    name, brackets, is_file = _read_head(head)
    if is_file:
        form.files.append(FormFile(name, brackets, start, end))
        form.file_bytes += end - start
        return
    if end - start > FORM_FIELD_BYTES_MAX:
        refuse("invalid_value", f"The field {name!r} may have at most {FORM_FIELD_BYTES_MAX} bytes.", name)
    try:
        value = body[start:end].decode()
    except UnicodeDecodeError:
        refuse("invalid_value", f"The field {name!r} is not UTF-8 text.", name)
    whole = name + brackets
    if name in form.fields or whole in form.inner or (not brackets and name in form.nested):
        refuse(
            "duplicate_key", f"The field {whole!r} is given more than once; which one counts would be a guess.", name
        )
    if not brackets:
        form.fields[name] = value
        form.spans[name] = (start, end)
        return
    form.nested.setdefault(name, []).append((start, end))
    if not brackets.endswith("[]"):
        form.inner.add(whole)


def _read_head(head: bytes) -> tuple[str, str, bool]:
    """Name, the brackets behind it, and whether it is a file."""
    disposition = b""
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or name.lower() not in _PART_HEADERS:
            raise _malformed(f"a part has the header {name[:40]!r}, which no form needs")
        if name.lower() == b"content-disposition":
            if disposition:
                raise _malformed("a part has two dispositions")
            disposition = value.strip(b" \t")
    match = _DISPOSITION.fullmatch(disposition)
    if match is None:
        raise _malformed(
            "a part's disposition is not form-data with a plain name, of at most "
            f"{FORM_NAME_LEVELS_MAX} brackets, and a plain file name if it is a file"
        )
    return match[1].decode("ascii"), match[2].decode("ascii"), match[3] is not None


def _malformed(why: str) -> RequestRefused:
    return RequestRefused(400, "malformed_form", f"The request body is not a plain multipart/form-data form: {why}.")
