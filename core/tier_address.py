"""Where a tier's chat requests go: its own server, or the path of a load balancer that leads to it.

Pure; what a URL map decides is `core/routing.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from core.load_balancer import LoadBalancer
from core.routing import way_to
from core.specs import TierSpec

CHAT: Final = "/v1/chat/completions"
NO_ADDRESS: Final = (
    "it has no address to send prompts to",
    "Set endpoint_url for this tier in heartwood.toml: its server's, or that of the load balancer"
    " before it.",
)


@dataclass(frozen=True, slots=True)
class TierAddress:
    """Base URL of a tier's chat requests; "" where there is none.

    `problem` says why then, as the end of a sentence, and `hint` what to do about it.
    """

    url: str
    problem: str = ""
    hint: str = ""


def address_of(spec: TierSpec, balancer: LoadBalancer | None) -> TierAddress:
    """Where the tier's requests go.

    A bare address of a tier behind a load balancer gets the prefix with which the URL map, as it is
    now, leads to the tier alone.
    """
    if not spec.endpoint_url:
        return TierAddress("", *NO_ADDRESS)
    url = urlsplit(spec.endpoint_url)
    if not spec.backend_service or url.path.strip("/") or not (balancer and balancer.url_maps):
        return TierAddress(spec.endpoint_url)
    host = url.hostname or ""
    ways = [way_to(spec.backend_service, CHAT, host, m) for m in balancer.url_maps]
    way = next((w for w in ways if w is not None), None)
    if way is not None:
        return TierAddress(f"{spec.endpoint_url.rstrip('/')}{way}")
    return TierAddress(
        "",
        f"no path leads to {spec.title} alone: by the URL map's rules its requests go elsewhere",
        "Traffic shows the rules, and where each path goes.",
    )
