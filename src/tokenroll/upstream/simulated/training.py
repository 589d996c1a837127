"""Fine-tuning jobs of the simulated provider: answered with a receipt, done some time later, billed once by what was trained.

`x-sim-background-ms` says how long a job runs (default 0). In its metadata `sim_end` says how it ends (`succeeded` or `failed`), and
`sim_trained_epochs` how many of its epochs are trained when it fails or is cancelled (default none), and `sim_created_at` when it says
that it was made, in seconds. A paused job goes on when it is resumed.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tokenroll.upstream.simulated import answering, chat
from tokenroll.upstream.simulated.asked import OVERHEAD_PER_MESSAGE, Refusal, decoded, tokens
from tokenroll.upstream.simulated.bill import ABORTED, COMPLETE, OPEN, Line
from tokenroll.upstream.simulated.files import NAME_HEADER
from tokenroll.upstream.simulated.shapes import compact

if TYPE_CHECKING:
    from tokenroll.upstream.simulated.prices import PricedModel
    from tokenroll.upstream.simulated.provider import Provider

_PLACE: Final = "/fine_tuning/jobs"
_EPOCHS_USUAL: Final = 3
_EXAMPLES_MIN: Final = 100
_EPOCHS_AUTO_MAX: Final = 25
_PICTURE_TOKENS: Final = 1_500
_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})


class _Job:
    """One job: what it trains on, and how far it is."""

    def __init__(self, name: str, body: dict[str, Any], model: "PricedModel", epoch_tokens: int, epochs: int) -> None:
        self.name = name
        self.body = body
        self.model = model
        self.epoch_tokens = epoch_tokens
        self.epochs = epochs
        self.status = "running"
        self.trained_tokens: int | None = None
        self.created_at = int(self.told("sim_created_at", str(int(time.time()))))
        self.left_seconds = 0.0
        self.call_id = ""
        self.attempt = 1
        self.at = time.time_ns() // 1_000
        self.events: list[str] = ["Created fine-tuning job"]

    def object(self) -> dict[str, Any]:
        """As the provider tells it."""
        body = self.body
        ended = self.status in _ENDED
        succeeded = self.status == "succeeded"
        terms = {"n_epochs": self.epochs, "batch_size": 1, "learning_rate_multiplier": 1.0}
        kind = (body.get("method") or {}).get("type", "supervised")
        error = (
            {"code": "training_failed", "message": "The job failed.", "param": None}
            if self.status == "failed"
            else None
        )
        return {
            "id": self.name, "object": "fine_tuning.job", "model": self.model.answers_as, "created_at": self.created_at,
            "finished_at": self.created_at if ended else None, "fine_tuned_model": self.fine_tuned_model if succeeded else None,
            "organization_id": "org-sim", "result_files": [], "status": self.status, "trained_tokens": self.trained_tokens,
            "training_file": body["training_file"], "validation_file": body.get("validation_file"), "hyperparameters": terms,
            "seed": body.get("seed") or 0, "error": error, "estimated_finish": None, "integrations": body.get("integrations") or [],
            "method": {"type": kind, kind: {"hyperparameters": terms}}, "metadata": body.get("metadata"),
        }  # fmt: skip

    @property
    def fine_tuned_model(self) -> str:
        """What the trained model is called."""
        return f"ft:{self.model.answers_as}:sim:{self.body.get('suffix') or ''}:{self.name[-8:]}"

    def told(self, key: str, default: str) -> str:
        """What its metadata says for the simulation."""
        return str((self.body.get("metadata") or {}).get(key, default))


class TrainingDesk:
    """All jobs of a provider."""

    def __init__(self, provider: "Provider") -> None:
        self._provider = provider
        self._jobs: dict[str, _Job] = {}
        self._timers: dict[str, tuple[asyncio.TimerHandle, float]] = {}

    def answer(self, method: bytes, path: str, body: bytes, headers: dict[bytes, bytes]) -> bytes | None:
        """The answer to a request about jobs; None: it is about something else. Raises Refusal."""
        if not path.startswith(_PLACE):
            return None
        if path == _PLACE and method == b"POST":
            return compact(self._create(decoded(body), body, headers).object())
        if path == _PLACE and method == b"GET":
            jobs = [one.object() for one in reversed(self._jobs.values())]
            return compact({"object": "list", "data": jobs, "has_more": False})
        name, _, verb = path.removeprefix(_PLACE + "/").partition("/")
        acts: dict[tuple[bytes, str], Callable[[_Job], dict[str, Any]]] = {
            (b"GET", ""): lambda one: one.object(), (b"GET", "events"): self._events, (b"GET", "checkpoints"): self._checkpoints,
            (b"POST", "cancel"): self._cancel, (b"POST", "pause"): self._pause, (b"POST", "resume"): self._resume,
        }  # fmt: skip
        act, job = acts.get((method, verb)), self._jobs.get(name)
        if act is None or job is None:
            raise Refusal(
                404, "invalid_request_error", f"Could not find fine tune: {name}", "fine_tune_id", "fine_tune_not_found"
            )
        return compact(act(job))

    def _create(self, body: dict[str, Any], raw: bytes, headers: dict[bytes, bytes]) -> _Job:
        provider = self._provider
        provider.faults_given(headers.get(b"x-sim-fault", b"").decode("latin-1"), "openai")
        model = provider.prices.models.get(str(body.get("model")))
        if model is None or "training" not in model.tiers["standard"]:
            raise chat.unknown_model(str(body.get("model")))
        method = body.get("method") or {}
        kind = method.get("type", "supervised")
        file = provider.files.get(str(body.get("training_file")))
        try:
            examples = [json.loads(line) for line in file.data.splitlines() if line.strip()]
        except ValueError:
            raise Refusal(
                400, "invalid_request_error", "Invalid file format: a line is no JSON.", "training_file", "invalid_file"
            ) from None
        terms = (method.get(kind) or {}).get("hyperparameters") or body.get("hyperparameters") or {}
        epochs = terms.get("n_epochs", "auto")
        if epochs == "auto":
            epochs = max(_EPOCHS_USUAL, min(_EPOCHS_AUTO_MAX, _EXAMPLES_MIN // max(1, len(examples))))
        number = answering.digest_of(provider.options.seed, raw, len(self._jobs)).hex()[:24]
        name = headers.get(NAME_HEADER, b"").decode() or f"ftjob-{number}"
        job = _Job(name, body, model, sum(map(_example_tokens, examples)), int(epochs))
        request_id = headers.get(b"x-client-request-id", b"").decode("latin-1")
        job.call_id, _, attempt = request_id.rpartition("/")
        job.attempt = int(attempt) if attempt.isdigit() else 1
        self._jobs[job.name] = job
        provider.counters["open"] += 1
        self._bill(job, OPEN)
        job.left_seconds = int(headers.get(b"x-sim-background-ms", b"0")) / 1_000
        self._run(job)
        return job

    def _run(self, job: _Job) -> None:
        loop = asyncio.get_running_loop()
        self._timers[job.name] = (loop.call_later(job.left_seconds, self._done, job), loop.time())

    def _stop(self, job: _Job) -> None:
        timer, started = self._timers.pop(job.name, (None, 0.0))
        if timer is not None:
            timer.cancel()
            job.left_seconds = max(0.0, job.left_seconds - (asyncio.get_running_loop().time() - started))

    def _done(self, job: _Job) -> None:
        self._timers.pop(job.name, None)
        self._end(job, job.told("sim_end", "succeeded"))

    def _end(self, job: _Job, status: str) -> None:
        if status == "succeeded":
            job.trained_tokens = job.epoch_tokens * job.epochs
        elif (epochs := int(job.told("sim_trained_epochs", "0"))) > 0:
            job.trained_tokens = job.epoch_tokens * min(epochs, job.epochs)
        job.status = status
        job.events.append(f"The job has {status}")
        self._provider.counters["open"] -= 1
        self._bill(job, COMPLETE if status == "succeeded" else ABORTED)

    def _bill(self, job: _Job, status: str) -> None:
        usage = {"training": job.trained_tokens} if job.trained_tokens else {}
        self._provider.bill.write(
            Line(
                call_id=job.call_id, attempt=job.attempt, request_id=job.name, provider=job.model.vendor, model=job.model.answers_as,
                service_tier="standard", at=job.at, usage=usage, status=status, cost_nanos=job.model.cost_nanos(usage, "standard"),
            )
        )  # fmt: skip

    def _cancel(self, job: _Job) -> dict[str, Any]:
        if job.status in _ENDED:
            raise Refusal(
                400, "invalid_request_error", f"Job has already completed: {job.name}", "id", "job_already_completed"
            )
        self._stop(job)
        self._end(job, "cancelled")
        return job.object()

    def _pause(self, job: _Job) -> dict[str, Any]:
        if job.status != "running":
            raise Refusal(400, "invalid_request_error", f"Job is not running: {job.name}", "id")
        self._stop(job)
        job.status = "paused"
        return job.object()

    def _resume(self, job: _Job) -> dict[str, Any]:
        if job.status != "paused":
            raise Refusal(400, "invalid_request_error", f"Job is not paused: {job.name}", "id")
        job.status = "running"
        self._run(job)
        return job.object()

    @staticmethod
    def _events(job: _Job) -> dict[str, Any]:
        data = [
            {
                "object": "fine_tuning.job.event", "id": f"ftevent-{job.name[-8:]}{index}", "created_at": job.created_at, "level": "info",
                "message": message, "data": {}, "type": "message",
            }
            for index, message in enumerate(job.events)
        ]  # fmt: skip
        return {"object": "list", "data": data[::-1], "has_more": False}

    @staticmethod
    def _checkpoints(job: _Job) -> dict[str, Any]:
        ended = [job] if job.status == "succeeded" else []
        data = [
            {
                "object": "fine_tuning.job.checkpoint", "id": f"ftckpt_{one.name[-8:]}", "created_at": one.created_at,
                "fine_tuned_model_checkpoint": f"{one.fine_tuned_model}:ckpt-step-1", "metrics": {"step": 1, "train_loss": 0.5},
                "fine_tuning_job_id": one.name, "step_number": 1,
            }
            for one in ended
        ]  # fmt: skip
        ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return {"object": "list", "data": data, "first_id": ends[0], "last_id": ends[1], "has_more": False}


def _example_tokens(example: dict[str, Any]) -> int:
    """What one example trains: its messages, and for a preference both of its answers, each behind the prompt."""
    if "messages" in example:
        return sum(map(_message_tokens, example["messages"]))
    prompt = sum(map(_message_tokens, (example.get("input") or {}).get("messages", [])))
    outputs = [example.get("preferred_output") or [], example.get("non_preferred_output") or []]
    return sum(prompt + sum(map(_message_tokens, one)) for one in outputs)


def _message_tokens(message: dict[str, Any]) -> int:
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    counted = sum(tokens(str(one["text"]).encode()) if one.get("type") == "text" else _PICTURE_TOKENS for one in parts)
    return counted + OVERHEAD_PER_MESSAGE
