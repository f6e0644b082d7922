"""What a request may hold: types, limits, and the refusal that says what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The most that one request may ask for, and that may wait. Admission and engine share it."""

    max_body_bytes: int = 1 << 20
    max_prompt_tokens: int = 1 << 17
    """The model's own context may be smaller: the smaller one counts."""
    max_tokens: int = 4096
    max_n: int = 8
    """Answers to each prompt."""
    max_prompts: int = 16
    """Prompts in one completion request."""
    max_texts: int = 256
    """Texts or rows in one request to a task."""
    max_messages: int = 1024
    """Messages in a chat request."""
    max_stop: int = 4
    max_stop_chars: int = 100
    max_queue: int = 32
    """Requests that may wait behind the one that runs."""


@dataclass(eq=False)
class Refusal(Exception):
    """A request that gets no answer, told in OpenAI's form."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return {"error": {...}} as OpenAI's clients read it."""
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = "server_error" if self.status >= 500 else kinds.get(self.status, "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


def _as_list(value: Any) -> Any:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return value
    raise PydanticCustomError("texts", "should be a text or a list of texts")


Texts = Annotated[list[str], BeforeValidator(_as_list)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class StreamOptions(BaseModel):
    """Whether a stream ends with the counts of tokens."""

    include_usage: bool = False


class Sampled(BaseModel):
    """What requests for text have in common; numbers must be numbers, not text."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    """0 keeps every token."""
    min_p: Annotated[Number, Field(ge=0, lt=1)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[Number, Field(gt=0, le=10)] | None = None
    """1 is off; not one of OpenAI's."""
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    stop: Texts | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def most_tokens(self) -> int | None:
        """Tokens that an answer may have."""
        return self.max_tokens


class CompletionRequest(Sampled):
    """The body of POST /v1/completions."""

    prompt: Texts
    suffix: str | None = None
    """What stands after the place to fill, for models with marks of infilling."""


def _as_rows(value: Any) -> Any:
    if isinstance(value, str | dict):
        return [value]
    if isinstance(value, list) and value and all(isinstance(v, str | dict) for v in value):
        return value
    raise PydanticCustomError("rows", "should be a text or an object, or a list of them")


class TaskRequest(BaseModel):
    """The body of a POST at a task's route: texts, or rows with the columns that the task reads."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    input: Annotated[list[str | dict[str, Any]], BeforeValidator(_as_rows)]
    model: str | None = None


Request = TypeVar("Request", bound=BaseModel)

HARMLESS = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
"""Known fields that change no answer: ignored."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "logprobs": (None,),
    "echo": (None, False),
    "best_of": (None, 1),
    "logit_bias": (None, {}),
    "top_logprobs": (None,),
    "tool_choice": (None, "auto"),
    "parallel_tool_calls": (None, True),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}
"""Known fields that would change the answer, and the values with which they would not."""


def read_request(kind: type[Request], body: bytes) -> Request:
    """Parse a JSON body; a mistake is a Refusal that names the field."""
    try:
        request = kind.model_validate_json(body)
    except ValidationError as e:
        raise _refusal(e) from None
    for name, value in (request.model_extra or {}).items():
        if name in HARMLESS or (name in NEUTRAL and value in NEUTRAL[name]):
            continue
        if name in NEUTRAL:
            raise Refusal(400, f"{name} is not supported here: leave it out", name, "unsupported_parameter")
        close = difflib.get_close_matches(name, [*kind.model_fields, *HARMLESS, *NEUTRAL], n=1)
        hint = f"; did you mean {close[0]}?" if close else ": leave it out"
        raise Refusal(400, f"unknown field {name[:80]}{hint}", name[:80], "unknown_parameter")
    return request


def check_completion(request: CompletionRequest, limits: Limits) -> None:
    """Refuse a request that asks for more than the limits allow."""
    n_prompts = len(request.prompt)
    if n_prompts > limits.max_prompts:
        message = f"prompt: {n_prompts} prompts in a request, at most {limits.max_prompts} are allowed"
        raise Refusal(400, message, "prompt", "too_large")
    check_sampled(request, limits)


def check_sampled(request: Sampled, limits: Limits) -> None:
    """Refuse longer answers, more of them, or more stop texts than the limits allow."""
    stop = request.stop or []
    for name, value, most, what in (
        ("max_tokens", request.most_tokens or 1, limits.max_tokens, "tokens in an answer"),
        ("n", request.n or 1, limits.max_n, "answers to a prompt"),
        ("stop", len(stop), limits.max_stop, "stop texts"),
        ("stop", max(map(len, stop), default=0), limits.max_stop_chars, "characters in a stop text"),
    ):
        if value > most:
            raise Refusal(400, f"{name}: {value} {what}, at most {most} are allowed", name, "too_large")
    if "" in stop:
        raise Refusal(400, "stop: an empty text would end every answer at once", "stop", "invalid_value")


def rows_asked(request: TaskRequest, reads: Sequence[str], limits: Limits) -> list[dict[str, Any]]:
    """Return the rows of a request; refuse too many, and those that lack a column."""
    n_rows = len(request.input)
    if n_rows > limits.max_texts:
        message = f"input: {n_rows} texts, at most {limits.max_texts} are allowed; send several requests"
        raise Refusal(400, message, "input", "too_large")
    rows = []
    for i, asked in enumerate(request.input):
        row = {reads[0]: asked} if isinstance(asked, str) else asked
        missing = [name for name in reads if row.get(name) is None]
        if missing:
            message = f"input {i} has no {', '.join(missing)}: this model reads {', '.join(reads)}"
            raise Refusal(400, message, "input", "missing_required_parameter")
        rows.append(row)
    return rows


def _refusal(error: ValidationError) -> Refusal:
    problem = error.errors(include_url=False)[0]
    if problem["type"] == "json_invalid":
        return Refusal(400, f"the body is not JSON: {problem['ctx']['error']}", None, "invalid_json")
    names = [str(part) for part in problem["loc"]]
    if not names:
        return Refusal(400, "the body should be a JSON object", None, "invalid_type")
    what = problem["msg"].removeprefix("Input ")
    if problem["type"] == "missing":
        return Refusal(400, f"{names[0]} is required", names[0], "missing_required_parameter")
    value = problem["input"]
    shown = f", not {value}" if isinstance(value, int | float) and abs(value) < 1e18 else ""
    return Refusal(400, f"{'.'.join(names)} {what}{shown}", names[0], "invalid_value")
