"""The server's Prometheus metrics under vLLM's names, so that boards and autoscalers made for vLLM
read this server too; our own names start with `heartwood_`.

What does not live here: when a value changes (`engine`) and the route that shows them (`api`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from serving.request import Job
    from serving.scheduler import Scheduler
    from serving.work import Work

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 0.75)
_SECONDS += (1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
_LABELS = ("model_name", "engine")


class Metrics:
    """One registry per server; every series carries the model's name and the engine's index."""

    def __init__(self, model_name: str, engine: str = "0") -> None:
        """Create all series, so that they are exposed as zeros before the first request."""
        self.registry = CollectorRegistry()
        self._labels = {"model_name": model_name, "engine": engine}
        self.running = self._gauge("vllm:num_requests_running", "Requests that hold a slot.")
        self.waiting = self._gauge("vllm:num_requests_waiting", "Requests in the queue.")
        self.cache_used = self._gauge(
            "vllm:kv_cache_usage_perc", "Filled share of the KV cache, 0 to 1."
        )
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens computed.")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated.")
        self.prefix_queries = self._counter(
            "vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache."
        )
        self.prefix_hits = self._counter(
            "vllm:prefix_cache_hits", "Prompt tokens found in the prefix cache."
        )
        self.preemptions = self._counter("vllm:num_preemptions", "Requests that lost their slot.")
        self._success = Counter(
            "vllm:request_success",
            "Requests that ended, by reason.",
            (*_LABELS, "finished_reason"),
            registry=self.registry,
        )
        for reason in ("stop", "length", "timeout", "abort", "error"):
            self._success.labels(**self._labels, finished_reason=reason)
        self.drafts = self._counter("vllm:spec_decode_num_draft_tokens", "Guessed tokens checked.")
        self.accepted = self._counter(
            "vllm:spec_decode_num_accepted_tokens", "Guessed tokens that were right."
        )
        self._make_histograms()
        self._ceilings: tuple[Gauge, Gauge] | None = None
        self._told: dict[str, int] = {}
        self._counted = (
            (self.preemptions, "preemptions"),
            (self.prefix_queries, "prefix_queries"),
            (self.prefix_hits, "prefix_hits"),
            (self.drafts, "drafted"),
            (self.accepted, "accepted"),
        )
        self.compilations = self._counter(
            "heartwood_compilations_after_ready", "XLA compilations after the server was ready."
        )
        self.flops = self._counter(
            "heartwood_model_flops", "Operations of the model's products, padding left out."
        )
        self.read_bytes = self._counter(
            "heartwood_model_read_bytes", "Bytes of weights and cache that steps had to read."
        )
        self.step_s = self._counter("heartwood_step_seconds", "Time in which steps were computed.")
        self.rejected = self._counter(
            "heartwood_requests_rejected", "Requests refused because the queue was full."
        )

    def _make_histograms(self) -> None:
        self.first_token = self._histogram(
            "vllm:time_to_first_token_seconds", "Arrival to first token."
        )
        self.inter_token = self._histogram(
            "vllm:inter_token_latency_seconds", "Time between two tokens of a request."
        )
        self.whole = self._histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.")
        self.queued = self._histogram("vllm:request_queue_time_seconds", "Arrival to a slot.")
        self.prefill = self._histogram(
            "vllm:request_prefill_time_seconds", "Getting a slot to first token."
        )
        self.decode = self._histogram(
            "vllm:request_decode_time_seconds", "First token to last token."
        )
        self.inference = self._histogram(
            "vllm:request_inference_time_seconds", "Getting a slot to last token."
        )
        self.prompt_length = self._histogram(
            "vllm:request_prompt_tokens", "Prompt tokens of a request.", _TOKENS
        )
        self.answer_length = self._histogram(
            "vllm:request_generation_tokens", "Generated tokens of a request.", _TOKENS
        )

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, _LABELS, registry=self.registry).labels(**self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, _LABELS, registry=self.registry).labels(**self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        made = Histogram(name, text, _LABELS, registry=self.registry, buckets=buckets)
        return made.labels(**self._labels)

    def observe_load(self, scheduler: Scheduler) -> None:
        """What the scheduler holds and has counted."""
        self.running.set(len(scheduler.active))
        self.waiting.set(len(scheduler.waiting))
        self.cache_used.set(scheduler.cache_used_ratio)
        counts, told = scheduler.counts, self._told
        for counter, name in self._counted:
            value = getattr(counts, name)
            counter.inc(value - told.get(name, 0))
            told[name] = value

    def observe_work(self, work: Work, elapsed_s: float) -> None:
        """A step was computed."""
        self.flops.inc(work.flops)
        self.read_bytes.inc(work.read_bytes)
        self.step_s.inc(elapsed_s)

    def observe_ceiling(self, flops: Mapping[str, float], bytes_per_s: float) -> None:
        """What a heartbeat found the device to reach; before the first one there is no series."""
        if self._ceilings is None:
            self._ceilings = (
                Gauge(
                    "heartwood_measured_flops",
                    "Operations per second of the heartbeat's product.",
                    (*_LABELS, "dtype"),
                    registry=self.registry,
                ),
                self._gauge("heartwood_measured_bytes_per_second", "Memory read per second."),
            )
        products, memory = self._ceilings
        for dtype, value in flops.items():
            products.labels(**self._labels, dtype=dtype).set(value)
        memory.set(bytes_per_s)

    def observe_token(self, job: Job, now_s: float) -> None:
        """One more token of an answer."""
        self.generation_tokens.inc()
        if job.last_token_s is None:
            job.first_token_s = now_s
            self.first_token.observe(now_s - job.arrived_s)
            self.prefill.observe(now_s - (job.admitted_s or job.arrived_s))
        else:
            self.inter_token.observe(now_s - job.last_token_s)
        job.last_token_s = now_s

    def observe_end(self, job: Job, reason: str) -> None:
        """A request ended: stop, length, timeout, abort (the client left) or error (ours)."""
        self._success.labels(**self._labels, finished_reason=reason).inc()
        if job.first_token_s is None or job.last_token_s is None:
            return
        self.whole.observe(job.last_token_s - job.arrived_s)
        self.decode.observe(job.last_token_s - job.first_token_s)
        self.inference.observe(job.last_token_s - (job.admitted_s or job.arrived_s))
        self.prompt_length.observe(len(job.sequence.prompt))
        self.answer_length.observe(job.told)

    def expose(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)
