"""How tokens are chosen, over HTTP: biases, penalties, ends, likelihoods, schemas, guesses."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import openai

from tests.serving.server_process import ServerProcess
from tests.serving.test_http import PARIS, read_events, read_metric

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "size": {"enum": ["small", "large"]},
        "people": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["city", "size", "people"],
    "additionalProperties": False,
}


def complete(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    """The first choice of a completion."""
    response = http.post("/v1/completions", json={**PARIS, **changes})
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def test_logit_bias_forces_and_forbids(http: httpx.Client) -> None:
    """+100 makes a token certain, -100 makes it vanish."""
    (paris,) = http.post("/tokenize", json={"prompt": " Paris"}).json()["tokens"]
    assert "Paris" in complete(http)["text"]
    assert "Paris" not in complete(http, logit_bias={str(paris): -100})["text"]
    assert complete(http, logit_bias={str(paris): 100})["text"] == " Paris" * 8


def test_penalties_end_repetition(http: httpx.Client) -> None:
    """A text that repeats itself has more different tokens with any of the penalties."""

    def variety(**penalty: float) -> int:
        body = {"prompt": ("The cat sat. " * 3).strip(), "max_tokens": 32, "ignore_eos": True}
        return len(set(complete(http, **body, **penalty, logprobs=0)["logprobs"]["tokens"]))

    usual = variety()
    for penalty in ("repetition_penalty", "presence_penalty", "frequency_penalty"):
        assert variety(**{penalty: 2.0}) > usual


def test_stop_token_ends_an_answer(http: httpx.Client) -> None:
    """A stop token ends the answer and is no part of its text."""
    (paris,) = http.post("/tokenize", json={"prompt": " Paris"}).json()["tokens"]
    choice = complete(http, stop_token_ids=[paris])
    text = complete(http)["text"]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.index(" Paris")], "stop")


def test_logprobs_of_answer_and_prompt_agree(http: httpx.Client) -> None:
    """What an answer's tokens are said to be likely is what they are as a prompt's tokens."""
    told = complete(http, logprobs=2)["logprobs"]
    assert len(told["tokens"]) == len(told["token_logprobs"]) == 8
    for own, best in zip(told["token_logprobs"], told["top_logprobs"], strict=True):
        assert own == max(best.values()) <= 0
        assert len(best) == 2
        assert sum(map(math.exp, best.values())) <= 1 + 1e-5
    text = complete(http, echo=True)["text"]
    echoed = complete(http, prompt=text, echo=True, logprobs=0, max_tokens=1)["logprobs"]
    assert echoed["token_logprobs"][0] is None
    assert echoed["tokens"][5:13] == told["tokens"]
    assert echoed["text_offset"][6] == len("".join(echoed["tokens"][:6]))
    # Computed in another shape, so that activations may be rounded to int8 the other way.
    pairs = zip(echoed["token_logprobs"][5:13], told["token_logprobs"], strict=True)
    assert all(abs(a - b) < 0.25 for a, b in pairs)
    prompt = complete(http, prompt=text, prompt_logprobs=1)["prompt_logprobs"]
    assert prompt[0] is None
    values = [max(e["logprob"] for e in entry.values()) for entry in prompt[6:13]]
    assert all(abs(a - b) < 0.25 for a, b in zip(values, told["token_logprobs"][1:], strict=True))


def test_chat_logprobs_stream_as_they_are(server: ServerProcess) -> None:
    """A chat's log-probabilities are the same whole and streamed, one entry for each token."""
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)
    ask: dict[str, Any] = {
        "model": "SmolLM2-135M-Instruct",
        "messages": [{"role": "user", "content": "Greet me in French: é, 世界"}],
        "temperature": 0,
        "max_tokens": 12,
        "logprobs": True,
        "top_logprobs": 3,
    }
    whole = client.chat.completions.create(**ask)
    content = whole.choices[0].logprobs.content
    assert len(content) >= whole.usage.completion_tokens - 1
    assert all(len(one.top_logprobs) == 3 for one in content)
    streamed = []
    for chunk in client.chat.completions.create(**ask, stream=True):
        if chunk.choices[0].logprobs is not None:
            streamed += chunk.choices[0].logprobs.content
    assert [one.token for one in streamed] == [one.token for one in content]


def test_json_schema_is_followed(http: httpx.Client) -> None:
    """Every choice is valid JSON of the schema, even hot, even with ignore_eos, even streamed."""
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
    body = {
        "messages": [{"role": "user", "content": "Describe Rome as JSON."}],
        "response_format": form,
        "temperature": 1.0,
        "max_tokens": 80,
        "n": 2,
        "seed": 4,
        "ignore_eos": True,
    }
    answer = http.post("/v1/chat/completions", json=body).json()
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "stop"
        value = json.loads(choice["message"]["content"])
        assert set(value) == {"city", "size", "people"}
        assert value["size"] in ("small", "large")
        assert 0 <= value["people"] <= 99
    events = read_events(http, "/v1/chat/completions", {**body, "n": 1})
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == answer["choices"][0]["message"]["content"]
    loose = complete(http, response_format={"type": "json_object"}, max_tokens=40)
    assert loose["text"].startswith("{")


def test_guesses_are_what_the_model_would_say(http: httpx.Client) -> None:
    """Each token of an answer that was guessed ahead is the most likely one at its place.

    Computed in another shape, an activation may be rounded to int8 the other way, so that of two
    almost equally likely tokens either may be taken.
    """
    prompt = "1 2 3 4 5 1 2 3 4 5 1 2 3"
    body = {"prompt": prompt, "max_tokens": 40, "ignore_eos": True}
    accepted = "vllm:spec_decode_num_accepted_tokens_total"
    before = read_metric(http, accepted)
    text = complete(http, **body)["text"]
    after = read_metric(http, accepted)
    assert after > before
    told = complete(http, prompt=prompt + text, echo=True, logprobs=1, max_tokens=1)["logprobs"]
    start = next(i for i, place in enumerate(told["text_offset"]) if place >= len(prompt))
    pairs = zip(told["token_logprobs"][start:-1], told["top_logprobs"][start:-1], strict=True)
    assert all(own > max(best.values()) - 0.5 for own, best in pairs)
    assert read_metric(http, accepted) == after  # those with log-probabilities are not guessed
