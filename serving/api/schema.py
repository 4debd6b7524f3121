"""What each route accepts, as pydantic models; a wrong field is refused with its name.

Fields that OpenAI defines and this server cannot honour are refused rather than ignored, unless
they have the value that changes nothing. Unknown fields are ignored, as other servers do.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_CHOICES = 16
MAX_STOPS = 16
MAX_SEED = 2**63 - 1
MAX_BIASES = 1024
MAX_ALTERNATIVES = 20


def _check_writable(text: str) -> str:
    """JSON may hold half of a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds an unpaired surrogate, which is no character") from error
    return text


Text = Annotated[str, AfterValidator(_check_writable)]
Token = Annotated[int, Field(ge=0, strict=True)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
BiasToken = Annotated[int, Field(ge=0)]
StopText = Annotated[Text, Field(min_length=1, max_length=1000)]

# What each unsupported field may be without asking for anything.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "suffix": (None, ""),
    "audio": (None,),
    "modalities": (None, ["text"]),
}


class Schema(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class StreamOptions(Schema):
    """Whether the stream tells its usage, at the end or with every chunk."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Choosing(Schema):
    """How tokens are chosen, and when an answer ends, on every route that generates."""

    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=-1, le=2**31 - 1)
    min_p: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    repetition_penalty: float | None = Field(None, gt=0, le=10, allow_inf_nan=False)
    presence_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    frequency_penalty: float | None = Field(None, ge=-2, le=2, allow_inf_nan=False)
    logit_bias: dict[BiasToken, Bias] | None = Field(None, max_length=MAX_BIASES)
    seed: int | None = Field(None, ge=-(2**63), le=MAX_SEED)
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None = None
    stop_token_ids: list[Token] | None = Field(None, max_length=MAX_STOPS)
    ignore_eos: bool = False
    timeout_s: float | None = Field(None, gt=0, allow_inf_nan=False)

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings, whichever way they were given."""
        if isinstance(self.stop, str):
            return (self.stop,)
        return tuple(self.stop or ())


class JsonSchema(Schema):
    """The schema of a `json_schema` response format; `name` and `strict` change nothing here."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), populate_by_name=True)

    schema_: dict[str, Any] | bool = Field(alias="schema")


class ResponseFormat(Schema):
    """What an answer must be: any text, a JSON object, or JSON that follows a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _with_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema must hold the schema")
        return self

    @property
    def wanted(self) -> dict[str, Any] | bool | None:
        """The JSON schema of the answer; None for free text."""
        if self.type == "json_schema" and self.json_schema is not None:
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class Sampling(Choosing):
    """The fields that chat and text completions share."""

    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    prompt_logprobs: int | None = Field(None, ge=0, le=MAX_ALTERNATIVES)
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)

    @property
    @abstractmethod
    def alternatives(self) -> int | None:
        """How many alternatives are told for each token; None for no log-probabilities."""

    @model_validator(mode="after")
    def _whole_prompt(self) -> Self:
        if self.stream and self.prompt_logprobs is not None:
            raise ValueError("prompt_logprobs is not told in a stream; leave out stream")
        return self

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, body: Any) -> Any:
        if isinstance(body, dict):
            for name, harmless in _HARMLESS.items():
                if name in body and body[name] not in harmless:
                    raise UnsupportedField(name)
        return body


class UnsupportedField(Exception):
    """A field that this server does not honour; raised through pydantic as it is."""

    def __init__(self, field: str) -> None:
        """Name the field."""
        super().__init__(f"{field} is not supported by this server; leave it out.")
        self.field = field


class TextPart(Schema):
    """A part of a message's content; only text is understood."""

    type: Literal["text"]
    text: Text


class Message(Schema):
    """One turn of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_ALTERNATIVES)

    @property
    def alternatives(self) -> int | None:
        """As `top_logprobs` says, where `logprobs` is asked for."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(Sampling):
    """POST /v1/completions; a prompt is text, tokens, or a list of either."""

    prompt: Text | list[Token] | list[Text] | list[list[Token]]
    echo: bool = False
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)
    logprobs: int | None = Field(None, ge=0, le=MAX_ALTERNATIVES)

    @property
    def alternatives(self) -> int | None:
        """As `logprobs` says."""
        return self.logprobs

    @model_validator(mode="after")
    def _whole_echo(self) -> Self:
        if self.stream and self.echo and self.logprobs is not None:
            raise ValueError("echo with logprobs is not told in a stream; leave out stream")
        return self

    @model_validator(mode="after")
    def _plain_best_of(self) -> Self:
        if self.best_of not in (None, self.n or 1):
            raise UnsupportedField("best_of")
        return self

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if prompt and isinstance(prompt[0], int):
            return [prompt]  # type: ignore[list-item]  # the first element shows which union arm
        return prompt  # type: ignore[return-value]


class GenerateRequest(Choosing):
    """POST /generate."""

    prompt: Text
    max_tokens: int = Field(128, ge=1)
    temperature: float = Field(0.0, ge=0, le=2, allow_inf_nan=False)


class Instance(Schema):
    """One instance of a prediction request."""

    text: Text
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)


class Parameters(Schema):
    """What all instances of a prediction request share."""

    max_tokens: int = Field(128, ge=1)
    temperature: float = Field(0.0, ge=0, le=2, allow_inf_nan=False)


class PredictRequest(Schema):
    """POST /v1/predict, in the form of a Vertex AI prediction."""

    instances: list[Instance] = Field(min_length=1, max_length=128)
    parameters: Parameters = Field(default_factory=Parameters)


class TokenizeRequest(Schema):
    """POST /tokenize: a prompt, or the messages of a chat."""

    prompt: Text | None = None
    messages: list[Message] | None = None

    @field_validator("messages")
    @classmethod
    def _some(cls, value: list[Message] | None) -> list[Message] | None:
        if value == []:
            raise ValueError("must hold at least one message")
        return value


class DetokenizeRequest(Schema):
    """POST /detokenize."""

    tokens: list[Token]
