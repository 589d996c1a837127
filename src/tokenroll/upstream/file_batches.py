"""The dialect of OpenAI's batches: the requests stand in a file, line by line, and are answered within a day at the batch rates.

A batch is one call, as in `message_batches`. What bounds it is its input file as the provider has it, which is read before the call is
admitted; a file never changes, so what was read is what runs.
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from tokenroll.model.limits import BATCH_FILE_BYTES_MAX, BATCH_REQUESTS_MAX
from tokenroll.upstream.batching import ReceiptMeter, add_request, new_batch, refuse_count
from tokenroll.upstream.completions import Completions
from tokenroll.upstream.dialect import Buffers, CallMeter, Dialect, RequestRefused
from tokenroll.upstream.embeddings import Embeddings
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.heads import metadata_tags, not_bounded, object_fields, raw_value, read_head, refuse, text
from tokenroll.upstream.moderations import Moderations
from tokenroll.upstream.openai import ChatCompletions
from tokenroll.upstream.reading import FILE_NAME, FileBoundEndpoint, FileReading, LineReading
from tokenroll.upstream.responses import Responses

STORED_NAME: Final = re.compile(r"batch_[A-Za-z0-9_-]{1,200}")
LINE_DIALECTS: Final[Mapping[str, Dialect]] = {
    one.path.decode("ascii"): one for one in (ChatCompletions(), Responses(), Completions(), Embeddings(), Moderations())
}  # fmt: skip
"""By what a batch names as its endpoint: who reads its lines and their answers."""
_NO_MODEL: Final = "-"
"""Of the request itself, which names none."""


class BatchInput(LineReading):
    """The input file of one batch, read line by line."""

    what = "the input file"
    param = "input_file_id"

    def __init__(self, body: bytes) -> None:
        super().__init__()
        scratch = Facts()
        head = read_head(body, scratch, default_model=_NO_MODEL)
        for field in ("input_file_id", "endpoint"):
            if head.get(field) is None:
                refuse("missing_required_parameter", f"Missing required parameter: '{field}'.", field)
        name, self._endpoint = text(head["input_file_id"], "input_file_id"), text(head["endpoint"], "endpoint")
        if not FILE_NAME.fullmatch(name):
            refuse("invalid_value", "'input_file_id' is no id of a file.", "input_file_id")
        dialect = LINE_DIALECTS.get(self._endpoint)
        if dialect is None:
            not_bounded("endpoint", f"a batch of {self._endpoint!r}")
        self.path = f"/v1/files/{name}/content"
        self._dialect = dialect
        self._whole = whole = new_batch()
        whole.reads_stored = True
        whole.fields = scratch.fields
        if "metadata" in head:
            whole.tags = metadata_tags(body, head)
        self._file_bytes = 0

    def feed(self, data: bytes) -> None:
        """See FileReading."""
        self._file_bytes += len(data)
        if self._file_bytes > BATCH_FILE_BYTES_MAX:
            refuse(
                "invalid_value", f"The input file of a batch has at most {BATCH_FILE_BYTES_MAX} bytes.", "input_file_id"
            )
        super().feed(data)

    def _on_line(self, line: bytes) -> None:
        """One request of the batch."""
        place = f"Line {self.line_count} of the input file"
        batched = self._whole.batched
        if batched is not None and batched.request_count >= BATCH_REQUESTS_MAX:
            refuse_count("A batch", f"more, as from line {self.line_count} of the input file on", "input_file_id")
        try:
            one = self._one(line)
        except RequestRefused as refused:
            raise RequestRefused(refused.status, refused.code, f"{place}: {refused.message}", "input_file_id") from None
        try:
            add_request(self._whole, one, f"{place}: body")
        except RequestRefused as refused:
            raise RequestRefused(refused.status, refused.code, refused.message, "input_file_id") from None
        self._whole.input_bytes += one.input_bytes

    def _one(self, line: bytes) -> Facts:
        fields = object_fields(line)
        for name in ("custom_id", "method", "url", "body"):
            if name not in fields:
                refuse("missing_required_parameter", f"Missing required parameter: '{name}'.")
        if not _text_of(fields["custom_id"], "custom_id"):
            refuse("invalid_value", "'custom_id' is empty.")
        if _text_of(fields["method"], "method") != "POST":
            refuse("invalid_value", "'method' must be 'POST'.")
        if _text_of(fields["url"], "url") != self._endpoint:
            refuse("invalid_value", f"'url' must be the batch's endpoint, {self._endpoint!r}.")
        return self._dialect.facts(bytes(fields["body"]))

    def end(self) -> Facts:
        """See FileReading."""
        self.end_lines()
        batched = self._whole.batched
        if batched is None or not batched.request_count:
            refuse_count("A batch", "none, as in this input file", "input_file_id")
        return self._whole


def _text_of(raw: Raw, name: str) -> str:
    """A short text of a line; what is none is not decoded, however deep it nests. Raises RequestRefused."""
    if memoryview(raw)[0] != 0x22:
        refuse("invalid_type", f"Invalid type for '{name}': expected a string.")
    return text(raw_value(raw), name)


class FileBatches(FileBoundEndpoint):
    """The dialect of `POST /v1/batches`; see Dialect for what each method promises."""

    index = 14
    name = "batches"
    path = b"/v1/batches"
    names_model = False

    def reading(self, body: bytes) -> FileReading:
        """See FileBoundEndpoint."""
        return BatchInput(body)

    def rewrite(
        self,
        body: bytes,
        facts: Facts,  # noqa: ARG002 - nothing of a batch is changed: its requests lie at the provider
        *,
        model: str,  # noqa: ARG002 - whoever begins the call has seen that the provider knows it by this name
        output_cap_tokens: int,  # noqa: ARG002
        inject_usage: bool,  # noqa: ARG002
        service_tier: str | None,  # noqa: ARG002
        searches: int | None = None,  # noqa: ARG002
    ) -> Buffers:
        """See Dialect."""
        return [body]

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - part of the protocol
        """See Dialect."""
        return ReceiptMeter(STORED_NAME)
