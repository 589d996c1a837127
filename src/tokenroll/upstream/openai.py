"""The dialect of chat completions."""

from tokenroll.upstream.dialect import CallMeter, Denial, ErrorAnswer, Facts


class ChatCompletions:
    """The dialect of `POST /v1/chat/completions`; see Dialect for what each method promises."""

    index = 0
    name = "chat completions"
    paths = (b"/v1/chat/completions",)

    def facts(self, body: bytes) -> Facts:
        raise NotImplementedError

    def rewrite(
        self, body: bytes, facts: Facts, *, model: str, output_cap_tokens: int, inject_usage: bool, service_tier: str | None
    ) -> list[bytes]:
        raise NotImplementedError

    def upstream_target(self) -> bytes:
        return b"/v1/chat/completions"

    def upstream_headers(self, api_key: str) -> bytes:
        raise NotImplementedError

    def meter(self, stream: bool, withhold_usage: bool) -> CallMeter:
        raise NotImplementedError

    def denial(self, denial: Denial) -> ErrorAnswer:
        raise NotImplementedError

    def error(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        should_retry: bool | None = None,
        retry_after_seconds: int = 0,
    ) -> ErrorAnswer:
        raise NotImplementedError
