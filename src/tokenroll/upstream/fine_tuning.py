"""The dialect of OpenAI's fine-tuning jobs: a model is trained on a file for hours, and billed by what it was trained on.

A job's bound is its files' bytes, because no tokenizer makes more tokens than bytes, and for each picture in them the most that one
takes, times the epochs, times the price of training on the model's rate card. The files lie at the provider and are read there before
the job is admitted. It goes on after its call, and is settled when its provider says what it trained (decision 0078).
"""

import re
from typing import Any, Final

import msgspec

from tokenroll.model.limits import PICTURE_INPUT_TOKENS_MAX, TRAINING_EPOCHS_MAX, TRAINING_FILES_BYTES_MAX
from tokenroll.upstream import usage as counts
from tokenroll.upstream.batching import ReceiptMeter
from tokenroll.upstream.dialect import BYTES_PER_TOKEN_ESTIMATE, CallMeter, Denial, ErrorAnswer
from tokenroll.upstream.facts import Facts
from tokenroll.upstream.heads import (
    metadata_tags,
    not_bounded,
    object_fields,
    raw_value,
    read_head,
    refuse,
    whole_number,
    wrong_type,
)
from tokenroll.upstream.reading import FILE_NAME, FileBoundEndpoint, FileReading, LineReading
from tokenroll.upstream.usage import object_of

STORED_NAME: Final = re.compile(r"ft(?:job)?-[A-Za-z0-9_-]{1,200}")
"""Ids of jobs, today's and those that the reference still has in its examples."""
_FIELDS: Final = frozenset(
    {
        "model", "training_file", "validation_file", "method", "hyperparameters", "suffix", "seed", "integrations", "metadata",
    }
)  # fmt: skip
_READINGS: Final = {"supervised": 1, "dpo": 2}
"""How often an example is read in an epoch, by method: a preference is trained as two answers, each behind its prompt."""
_EPOCHS_USUAL: Final = 3
"""How often a file is trained on where its client leaves it to the provider; for evidence alone."""
_AUTO: Final = "auto"
_TEXT_PARTS: Final = frozenset({"text", "refusal"})
_PICTURE: Final = "image_url"
_Object = dict[str, Any]


class Terms:
    """What a request says of how its model is to be trained."""

    __slots__ = ("epochs", "readings")

    def __init__(self, method: str, epochs: int) -> None:
        self.readings = _READINGS[method]
        self.epochs = epochs
        """0: the provider chooses."""

    @property
    def epochs_max(self) -> int:
        """How often it may be trained on its file."""
        return self.epochs or TRAINING_EPOCHS_MAX


class JobFacts(Facts):
    """Facts of a job, and the terms that they come from."""

    terms: Terms | None = None


class TrainingFiles(LineReading):
    """The files of one job, read one after the other. A validation file counts like the other, because some providers bill it."""

    what = "a file of this job"
    param = "training_file"

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._facts = facts = JobFacts()
        head = read_head(body, facts)
        fields = object_fields(body)
        for field in fields:
            if field not in _FIELDS:
                not_bounded(field, "a job with a field that is not known here")
        if "metadata" in head:
            facts.tags = metadata_tags(body, head)
        names = [
            _file_name(raw_value(fields[name]) if name in fields else None, name)
            for name in ("training_file", "validation_file")
        ]
        if not names[0]:
            refuse("missing_required_parameter", "Missing required parameter: 'training_file'.", "training_file")
        self._terms = facts.terms = terms_of(fields)
        self._paths = [f"/v1/files/{name}/content" for name in names if name]
        self.path = self._paths.pop(0)
        self._file_bytes = 0
        self._tokens_max = 0

    def feed(self, data: bytes) -> None:
        """See FileReading."""
        self._file_bytes += len(data)
        if self._file_bytes > TRAINING_FILES_BYTES_MAX:
            message = f"The files of a job have at most {TRAINING_FILES_BYTES_MAX} bytes here."
            refuse("call_not_bounded", message, "training_file")
        super().feed(data)

    def _on_line(self, line: bytes) -> None:
        """One example."""
        self._tokens_max += len(line)
        if b'"type"' in line or b"\\u" in line:  # else it has no parts, and its bytes bound it
            self._tokens_max += self._more_than_bytes(line)

    def _more_than_bytes(self, line: bytes) -> int:
        """By how many tokens the pictures of an example may exceed their bytes. What is no JSON the provider does not train on."""
        try:
            example = object_of(msgspec.json.decode(line))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return 0
        given = (
            example.get("messages"), object_of(example.get("input")).get("messages"), example.get("preferred_output"),
            example.get("non_preferred_output"),
        )  # fmt: skip
        more = 0
        for messages in given:
            for message in messages if isinstance(messages, list) else ():
                content = object_of(message).get("content")
                for part in content if isinstance(content, list) else ():
                    more += self._more_of_part(object_of(part))
        return more

    def _more_of_part(self, part: _Object) -> int:
        kind = part.get("type")
        if kind == _PICTURE or _PICTURE in part:
            link = object_of(part.get(_PICTURE)).get("url")
            return PICTURE_INPUT_TOKENS_MAX - (len(link) if isinstance(link, str) else 0)
        if kind not in _TEXT_PARTS:
            message = f"Line {self.line_count} of {self.what} has a part that is neither text nor a picture, and nothing bounds it."
            refuse("call_not_bounded", message, self.param)
        return 0

    def end(self) -> Facts | None:
        """See FileReading."""
        self.end_lines()
        if self._paths:
            self.path = self._paths.pop(0)
            return None
        terms, facts = self._terms, self._facts
        likely = -(-self._tokens_max // BYTES_PER_TOKEN_ESTIMATE) * terms.readings * (terms.epochs or _EPOCHS_USUAL)
        most = self._tokens_max * terms.readings * terms.epochs_max
        facts.unit_maxima = ((counts.TRAINING, most, min(likely, most)),)
        facts.service_tier = "standard"  # training is sold at no other
        facts.input_bytes = 0  # what is sent is no input: what lies at the provider is
        facts.has_output = facts.is_text = False
        facts.trains = facts.beyond_bytes = facts.reads_stored = True
        return facts


class FineTuningJobs(FileBoundEndpoint):
    """The dialect of `POST /v1/fine_tuning/jobs`; see Dialect for what each method promises."""

    index = 15
    name = "fine-tuning jobs"
    path = b"/v1/fine_tuning/jobs"

    def reading(self, body: bytes) -> FileReading:
        """See FileBoundEndpoint."""
        return TrainingFiles(body)

    def denial(self, denial: Denial, wallet_status: int = 402) -> ErrorAnswer:
        """See Dialect. Fewer epochs cost less, and the client is told how many would fit."""
        known = self._known
        terms = known.terms if isinstance(known, JobFacts) else None
        if terms is not None and denial.needed_nanos:
            epochs = terms.epochs_max
            fitting = denial.left_nanos // max(1, -(-denial.needed_nanos // epochs))
            if not terms.epochs:
                denial.advice = f"It names no n_epochs, so it is held for {epochs} times its file. "
            if 0 < fitting < epochs:
                denial.advice += f"It would fit with an n_epochs of {fitting}."
            denial.advice = denial.advice.rstrip()
        return super().denial(denial, wallet_status)

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:  # noqa: ARG002 - part of the protocol
        """See Dialect."""
        return ReceiptMeter(STORED_NAME)


def _file_name(value: Any, param: str) -> str:
    """The id of a file, "" for none. It becomes a part of a path. Raises RequestRefused."""
    if value is None:
        return ""
    if type(value) is not str:
        wrong_type(param, "a string", value)
    if not FILE_NAME.fullmatch(value):
        refuse("invalid_value", f"'{param}' is no id of a file.", param)
    return value


def terms_of(fields: dict[str, msgspec.Raw]) -> Terms:
    """How a request wants its model trained. Raises RequestRefused for what cannot be bounded.

    Epochs may stand in the method and in `hyperparameters`, which came before it: the bound holds whichever of them counts.
    """
    method = raw_value(fields["method"]) if "method" in fields else None
    given = raw_value(fields["hyperparameters"]) if "hyperparameters" in fields else None
    former = _epochs(given, "hyperparameters")
    if method is None:
        return Terms("supervised", former)
    if not isinstance(method, dict):
        wrong_type("method", "an object", method)
    kind = method.get("type")
    if kind == "reinforcement":
        refuse(
            "call_not_bounded",
            "Training by reinforcement is billed by the hour and by what its graders use, and nothing of a request bounds either, so "
            "this gateway refuses it. Ask for the method 'supervised' or 'dpo'.",
            "method.type",
        )
    if kind not in _READINGS:
        refuse("invalid_value", "'method.type' must be 'supervised' or 'dpo'.", "method.type")
    terms = method.get(kind)
    if terms is not None and not isinstance(terms, dict):
        wrong_type(f"method.{kind}", "an object", terms)
    epochs = _epochs(object_of(terms).get("hyperparameters"), f"method.{kind}.hyperparameters")
    if given is None:
        return Terms(kind, epochs)
    return Terms(kind, max(epochs, former) if epochs and former else 0)


def _epochs(given: Any, param: str) -> int:
    """The epochs that hyperparameters name, 0 when they leave them to the provider. Raises RequestRefused."""
    if given is None:
        return 0
    if not isinstance(given, dict):
        wrong_type(param, "an object", given)
    epochs = given.get("n_epochs")
    return 0 if epochs is None or epochs == _AUTO else whole_number(epochs, f"{param}.n_epochs", 1, TRAINING_EPOCHS_MAX)
