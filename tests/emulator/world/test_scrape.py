"""Scraping the real server: what was not measured stays a gap."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from emulator.world.scrape import Histogram, Scraper, parse, shared

TEXT = """\
# HELP vllm:num_requests_running running
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="m"} 40
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="m"} 1
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="m"} 2
vllm:time_to_first_token_seconds_sum{model_name="m"} 0.5
vllm:time_to_first_token_seconds_count{model_name="m"} 2
"""


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TEXT.encode())

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A server with one page of metrics."""
    found = HTTPServer(("127.0.0.1", 0), _Metrics)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def test_parse_reads_each_kind() -> None:
    """Gauges, counters and histograms come with their exported names."""
    found = parse(TEXT)
    labels = (("model_name", "m"),)
    assert found["vllm:num_requests_running"].values[labels] == 3
    assert found["vllm:generation_tokens_total"].kind == "counter"
    histogram = found["vllm:time_to_first_token_seconds"].values[labels]
    assert histogram == Histogram((0.1, float("inf")), (1.0, 2.0), 0.5)


def test_samples_share_what_has_not_changed() -> None:
    """A sample says the same with the objects of an earlier one, which it takes where it can."""
    before, tokens = parse(TEXT), "vllm:generation_tokens_total"
    changed = TEXT.replace("} 40", "} 41").replace('m"} 1', 'm"} 2')
    fresh = shared(parse(changed), before)
    assert fresh == parse(changed)
    running, times = "vllm:num_requests_running", "vllm:time_to_first_token_seconds"
    assert fresh[running] is before[running]
    assert list(fresh[tokens].values) == list(before[tokens].values)
    (now,), (then,) = fresh[times].values.values(), before[times].values.values()
    assert isinstance(now, Histogram)
    assert isinstance(then, Histogram)
    assert now.bounds is then.bounds
    assert shared(parse(TEXT), {}) == before


def test_no_server_no_sample(server: HTTPServer) -> None:
    """Before the first start and while the server is down there are no samples at all."""
    down = Scraper("http://127.0.0.1:1/metrics")
    assert not down.scrape()
    assert down.samples() == ()
    up = Scraper(f"http://127.0.0.1:{server.server_port}/metrics", lambda: 1000.0)
    assert up.scrape()
    assert [s.at for s in up.samples()] == [1000.0]


def test_bad_text_is_no_sample() -> None:
    """What is no Prometheus text is refused, not guessed at."""
    with pytest.raises(ValueError, match=r"\S"):
        parse("<html>not metrics</html>")
