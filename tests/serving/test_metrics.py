"""What the server tells of itself at /metrics: names that others know, counts that are right."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.test_http import PARIS, read_metric

NAMES = [
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:prompt_tokens",
    "vllm:generation_tokens",
    "vllm:request_success",
    "vllm:prefix_cache_queries",
    "vllm:prefix_cache_hits",
    "vllm:num_preemptions",
    "vllm:spec_decode_num_draft_tokens",
    "vllm:spec_decode_num_accepted_tokens",
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_prefill_time_seconds",
    "vllm:request_decode_time_seconds",
    "vllm:request_inference_time_seconds",
    "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens",
    "heartwood_compilations_after_ready",
]


def test_metrics_have_vllm_names(http: httpx.Client) -> None:
    """All promised series are exposed with the labels model_name and engine; HEAD works too."""
    http.post("/v1/completions", json=PARIS)
    families = {f.name: f for f in text_string_to_metric_families(http.get("/metrics").text)}
    for name in NAMES:
        labels = families[name].samples[0].labels
        assert labels["model_name"] == "SmolLM2-135M-Instruct"
        assert labels["engine"] == "0"
    assert http.head("/metrics").status_code == 200


def test_token_counters_count(http: httpx.Client) -> None:
    """Counters grow by exactly the tokens of a request."""
    names = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
    before = [read_metric(http, name) for name in names]
    http.post("/v1/completions", json=PARIS)
    after = [read_metric(http, name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [5, 8]


def test_nothing_compiles_after_ready(http: httpx.Client) -> None:
    """Whatever shapes come, no program is compiled once the server is ready."""
    for size in (1, 33, 290, 500):
        for sampling in (
            {"temperature": 0},
            {"temperature": 1, "top_k": 5, "top_p": 0.5, "min_p": 0.1},
            {"repetition_penalty": 1.1, "logit_bias": {"5": 1}, "logprobs": 3},
            {"prompt_logprobs": 2, "response_format": {"type": "json_object"}, "n": 4},
        ):
            body = {"prompt": [50] * size, "max_tokens": 2, "n": 2, **sampling}
            assert http.post("/v1/completions", json=body).status_code == 200
    assert read_metric(http, "heartwood_compilations_after_ready_total") == 0
    assert http.get("/v1/status").json()["compilations_after_ready"] == 0
