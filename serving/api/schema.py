"""What each route accepts, as pydantic models; a wrong field is refused with its name.

Fields that OpenAI defines and this server cannot honour are refused rather than ignored, unless
they have the value that changes nothing. Unknown fields are ignored, as other servers do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_CHOICES = 16
MAX_STOPS = 16
MAX_SEED = 2**63 - 1


def _check_writable(text: str) -> str:
    """JSON may hold half of a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds an unpaired surrogate, which is no character") from error
    return text


Text = Annotated[str, AfterValidator(_check_writable)]
Token = Annotated[int, Field(ge=0, strict=True)]
StopText = Annotated[Text, Field(min_length=1, max_length=1000)]

# What each unsupported field may be without asking for anything.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "prompt_logprobs": (None,),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "min_p": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
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


class Sampling(Schema):
    """The fields that chat and text completions share."""

    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=-1, le=2**31 - 1)
    seed: int | None = Field(None, ge=-(2**63), le=MAX_SEED)
    n: int | None = Field(None, ge=1, le=MAX_CHOICES)
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None = None
    ignore_eos: bool = False
    timeout_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, body: Any) -> Any:
        if isinstance(body, dict):
            for name, harmless in _HARMLESS.items():
                if name in body and body[name] not in harmless:
                    raise UnsupportedField(name)
        return body

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings, whichever way they were given."""
        if isinstance(self.stop, str):
            return (self.stop,)
        return tuple(self.stop or ())


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


class CompletionRequest(Sampling):
    """POST /v1/completions; a prompt is text, tokens, or a list of either."""

    prompt: Text | list[Token] | list[Text] | list[list[Token]]
    echo: bool = False
    best_of: int | None = Field(None, ge=1, le=MAX_CHOICES)

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


class GenerateRequest(Schema):
    """POST /generate."""

    prompt: Text
    max_tokens: int = Field(128, ge=1)
    temperature: float = Field(0.0, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(1.0, gt=0, le=1, allow_inf_nan=False)
    top_k: int = Field(0, ge=-1, le=2**31 - 1)
    seed: int | None = Field(None, ge=-(2**63), le=MAX_SEED)
    stop: list[StopText] = Field(default_factory=list, max_length=MAX_STOPS)


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
