"""The Playground's controls: where prompts go and how they are to be answered."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from core.errors import HeartwoodError
from core.pricing import token_cost
from core.records import Source
from core.router import AUTO
from core.specs import TierSpec
from core.tier_address import NO_ADDRESS, address_of
from services import outbound
from services.inference import ChatParameters
from ui import access, chat, formats, states, view

OTHER: Final = "another server"
MAX_STOPS: Final = 4  # of OpenAI's API
SUGGESTIONS: Final = (
    "What is the capital of France?",
    "Explain what a TPU is in two sentences.",
    "Write a haiku about trees.",
)


def choose_target() -> chat.Target | None:
    """Buttons for the router, every tier and another server; None: its address is missing."""
    snapshot = access.snapshot()
    usable = [s for s in snapshot.specs if s.endpoint_url]
    chosen = st.session_state.setdefault("target", AUTO if usable else OTHER)
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="targets"):
        st.button(
            "Auto", key="target_auto", on_click=_choose, args=(AUTO,), icon=":material/route:",
            type="primary" if chosen == AUTO else "secondary", disabled=not usable,
            help="The router chooses a tier for each prompt, and says why",
        )  # fmt: skip
        for spec in snapshot.specs:
            _target_button(spec, chosen)
        st.button(
            "Another server", key="target_other", on_click=_choose, args=(OTHER,),
            type="primary" if chosen == OTHER else "secondary", icon=":material/link:",
        )  # fmt: skip
        _tools()
    if chosen == OTHER:
        return _other_server()
    if chosen == AUTO:
        if any(s.is_local and s.endpoint_url for s in snapshot.specs):
            view.live(_server_line)
        return chat.Target("Auto", "", pick=_pick)
    spec = snapshot.spec(chosen)
    if spec.is_local:
        view.live(_server_line)
    address = address_of(spec, snapshot.load_balancer)
    if address.problem:
        words = f"{address.problem[0].upper()}{address.problem[1:]}. {address.hint}"
        st.info(formats.plain(words), icon=":material/alt_route:")
        return None
    return _tier_target(spec, address.url)


def _tier_target(spec: TierSpec, url: str) -> chat.Target:
    """A tier at that address, with what its tokens cost."""
    derived = access.derived()
    rate = derived.rates[spec.name]
    tier, load = derived.fleet.tier(spec.name), (derived.snapshot.loads or {}).get(spec.name)
    return chat.Target(
        spec.title,
        url,
        api_key=access.console().router.key_for(spec.name, url),
        rate=rate if spec.is_local else None,
        usd_per_million=None if spec.is_local else token_cost(tier, rate, load).blended_usd,
        unpriced=derived.price_word(spec) if rate.usd_per_hour is None else formats.UNKNOWN,
    )


def invitation(target: chat.Target | None) -> str:
    """What stands in the empty field for a prompt."""
    if target is None:
        return "Choose where prompts go first"
    return "Ask; the router chooses who answers" if target.pick else f"Ask {target.name}"


def _pick(body: Mapping[str, Any]) -> chat.Picked:
    """Ask the router; what was typed as the model is the tier's to understand, not the router's."""
    routed = access.console().router.route({**body, "model": AUTO}, "playground")
    decision = routed.decision
    if not decision.tier:
        return chat.Picked(routed, None)
    return chat.Picked(routed, _tier_target(access.snapshot().spec(decision.tier), decision.url))


def _target_button(spec: TierSpec, chosen: str) -> None:
    why_not = " ".join(f"{words[0].upper()}{words[1:]}" for words in NO_ADDRESS)
    st.button(
        spec.title,
        key=f"target_{spec.name}",
        on_click=_choose,
        args=(spec.name,),
        disabled=not spec.endpoint_url,
        help=f"{spec.model} at {spec.endpoint_url}" if spec.endpoint_url else why_not,
        type="primary" if chosen == spec.name else "secondary",
    )


def _choose(name: str) -> None:
    st.session_state["target"] = name


def _tools() -> None:
    with st.popover("Parameters", icon=":material/tune:"):
        _parameter_inputs()
    st.download_button(
        "Export", chat.export, "heartwood-conversation.json", "application/json",
        icon=":material/download:", type="tertiary", on_click="ignore", key="export",
        disabled=not chat.turns(),
    )  # fmt: skip
    st.button(
        "Clear", icon=":material/delete_sweep:", type="tertiary", on_click=chat.clear, key="clear",
        disabled=not chat.turns(),
    )  # fmt: skip


def _parameter_inputs() -> None:
    keep = "session"
    st.text_area(
        "System prompt", key="p_system", persist_state=keep, height=80,
        placeholder="None", help="Sent before the conversation",
    )  # fmt: skip
    left, right = st.columns(2)
    with left:
        st.number_input("Temperature", 0.0, 2.0, 0.2, 0.1, key="p_temperature", persist_state=keep)
        st.number_input("Top-k", 0, 1000, 0, 1, key="p_top_k", persist_state=keep, help="0: off")
        st.number_input("Max tokens", 1, 8192, 256, 16, key="p_max", persist_state=keep)
    with right:
        st.number_input("Top-p", 0.01, 1.0, 0.9, 0.05, key="p_top_p", persist_state=keep)
        st.number_input(
            "Seed", 0, 2**31 - 1, None, 1, key="p_seed", persist_state=keep, placeholder="random"
        )
        st.text_input(
            "Stop strings", key="p_stop", persist_state=keep, placeholder="none",
            help="Up to four, separated by ¦",
        )  # fmt: skip
        if len(_stops()) > MAX_STOPS:
            st.warning(
                f"{len(_stops())} stop strings: servers take {MAX_STOPS}, so only the first "
                f"{MAX_STOPS} are sent. Take some out."
            )
    st.text_input(
        "Model", key="p_model", persist_state=keep, placeholder="the server's choice",
        help="Most servers other than ours want a name",
    )  # fmt: skip


def parameters() -> ChatParameters:
    """The chosen parameters; those of the popover, or their defaults before it was drawn."""
    state = st.session_state
    return ChatParameters(
        model=str(state.get("p_model") or "").strip(),
        max_tokens=int(state.get("p_max") or 256),
        temperature=float(state.get("p_temperature", 0.2)),
        top_p=float(state.get("p_top_p") or 0.9),
        top_k=int(state.get("p_top_k") or 0) or None,
        seed=state.get("p_seed"),
        stop=_stops()[:MAX_STOPS],
    )


def _stops() -> tuple[str, ...]:
    return tuple(s for s in str(st.session_state.get("p_stop") or "").split("¦") if s)


def system_prompt() -> str:
    """The chosen system prompt; "" for none."""
    return str(st.session_state.get("p_system") or "")


def _other_server() -> chat.Target | None:
    left, right = st.columns([3, 2])
    url = left.text_input(
        "Base URL of an OpenAI-compatible server", key="other_url", persist_state="session",
        placeholder="https://host:port/v1", type="url",
    )  # fmt: skip
    key = right.text_input(
        "API key (optional)", key="other_key", type="password",
        help="Kept in this browser session only; never stored, logged or exported",
    )  # fmt: skip
    if not url:
        states.show_empty("No address yet", "Enter the server's base URL to send prompts to it.")
        return None
    allowed = allowed_servers(
        access.console().settings.playground.allowed_servers, st.get_option("server.address")
    )
    try:
        checked = str(outbound.check_url(url, allowed))
    except HeartwoodError as error:
        states.show_problem("This address cannot be used", states.problem_of(error))
        return None
    return chat.Target(checked, checked, api_key=key or "", allowed=allowed)


def allowed_servers(listed: tuple[str, ...], bound: str | None) -> tuple[str, ...] | None:
    """The only servers that a person may have called; None: any.

    Args:
        listed: by the settings.
        bound: the address that the console listens on; None: on all of them.
    """
    if listed:
        return listed
    try:
        alone = bound == "localhost" or ipaddress.ip_address(bound or "").is_loopback
    except ValueError:
        alone = False
    return None if alone else ()


def _server_line() -> None:
    snapshot = access.snapshot()
    server = snapshot.server
    fresh = states.freshness(snapshot.sources, (Source.INFERENCE,), access.now())
    age = f":gray[· {fresh.text}]{states.MARKS[fresh.level]}"
    if server is None:
        waiting = ":gray[:material/hourglass_empty: The server has not answered yet]"
        st.markdown(f":small[{waiting} {age}]", help=fresh.details)
        return
    facts = [
        formats.plain(server.model),
        f"{formats.number(server.parameters)} parameters" if server.parameters else "",
        formats.plain(server.precision),
        formats.plain(", ".join(server.devices)),
        f"{formats.count(server.context_tokens)} tokens of context"
        if server.context_tokens
        else "",
    ]
    mark = ":green-badge[:material/check_circle: ready]"
    if not server.ready:
        mark = f":orange-badge[:material/hourglass_empty: not ready] {formats.plain(server.detail)}"
    line = f"{mark} :gray[{' · '.join(f for f in facts if f)}]"
    st.markdown(f":small[{line} {age}]", help=fresh.details)


def suggestion() -> str | None:
    """A first prompt to choose while there is no conversation."""
    if chat.turns():
        return None
    slot = st.empty()
    chosen = slot.pills(
        "Try asking", SUGGESTIONS, label_visibility="collapsed", key="suggestion",
        selection_mode="single",
    )  # fmt: skip
    if chosen:
        slot.empty()
    return chosen
