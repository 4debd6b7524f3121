"""What each action asks for in its dialog: widgets in, a `Request` out.

The dialog around a form is `ui/plan_dialog.py`'s, the buttons that open it `ui/action_menu.py`'s. A
new action is a function and a line in `FORMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import streamlit as st

from core.actions.canary import LEAST_MIN, MOST_MIN
from core.actions.change_budget import told_ratios
from core.actions.restart_slice import restartable
from core.actions.vertex_split import endpoints_of
from core.cloud_resources import PLATFORM
from core.fleet import assemble_fleet
from core.forecast import find_budget
from core.plans import Request
from core.pricing import tier_rate
from core.records import BackendService, Endpoint, Snapshot
from core.scale_target import slices_for_p95, slices_for_rate
from core.specs import TierSpec
from core.traffic_effect import health
from core.traffic_rules import Division, leading_to
from ui import formats, lifecycle_forms, number_field, take_back_view

DrawAll = Callable[[Snapshot], Request | str]
Draw = Callable[[Snapshot, TierSpec], Request | str]  # else why there is nothing to plan yet
_ALL: Final = "all of them"


@dataclass(frozen=True, slots=True)
class Form:
    """An action as people see it.

    Attributes:
        label: on its button.
        title_of: the dialog's title, with {tier}.
        draw: draws the widgets for one tier; None: it is not of one tier.
        draw_all: draws those for what is no tier's; None: there is no such thing.
        destructive: it stands apart in the menu, since what it deletes does not come back.
    """

    label: str
    icon: str
    help: str
    title_of: str
    draw: Draw | None
    draw_all: DrawAll | None = None
    destructive: bool = False

    def title(self, spec: TierSpec | None) -> str:
        """The dialog's title; None: for what is not of one tier."""
        return self.title_of.format(tier="everything" if spec is None else spec.title)

    def ask(self, snapshot: Snapshot, tier: str) -> Request | str:
        """Draw the widgets for that tier, or for all; the wish, else why there is none yet."""
        with number_field.judged() as wrong:
            wish = self._draw(snapshot, tier)
        return wrong[0] if wrong else wish

    def _draw(self, snapshot: Snapshot, tier: str) -> Request | str:
        if tier == PLATFORM:
            return self.draw_all(snapshot) if self.draw_all else "It is of one tier."
        return self.draw(snapshot, snapshot.spec(tier)) if self.draw else "It is not of one tier."


def _scale(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    way = st.segmented_control(
        "Change", ["Add", "Remove", "To $/h", "To p95"], default="Add", required=True,
        key="plan_way",
    )  # fmt: skip
    if way in ("Add", "Remove"):
        amount = number_field.whole("Host-slices", 1, 64, 1, key="plan_amount", width=120)
        delta = amount * (1 if way == "Add" else -1)
        return Request("scale_tier", spec.name, {"delta": delta})
    tier = assemble_fleet(snapshot).tier(spec.name)
    try:
        if way == "To $/h":
            now = float(tier_rate(tier, snapshot.prices).usd_per_hour or 0.0)
            usd = number_field.amount(
                "US dollars an hour, at most", 0.0, 1e9, now, step=48.0, key="plan_usd", width=200
            )
            found = slices_for_rate(snapshot, tier, usd)
        else:
            aim = float(spec.objectives.latency_p95_ms or 1000.0)
            p95_ms = number_field.amount(
                "p95 of latency in ms, at most", 1.0, 1e7, aim, step=100.0, key="plan_p95",
                width=200,
            )  # fmt: skip
            found = slices_for_p95(snapshot, tier, p95_ms)
    except ValueError as error:
        return str(error)
    st.code("\n".join(found.arithmetic), language=None, wrap_lines=True)
    if found.delta == 0:
        return f"Nothing to change: {found.reached}."
    return Request("scale_tier", spec.name, {"delta": found.delta})


def _replicas(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    models = {
        f"{m.display_name} on {e.display_name} ({m.id})": (e, m)
        for e in endpoints_of(snapshot, spec)
        for m in e.deployed
    }
    if not models:  # a choice of nothing would stay nothing when there is something
        return "No model of it is deployed on Vertex."
    chosen = st.selectbox("Deployed model", list(models), key="plan_model", width=360)
    endpoint, model = models[chosen]
    replicas = number_field.whole(
        "Replicas, at least", 1, 256, max(1, model.replicas_min), key="plan_replicas", width=160
    )
    if replicas == model.replicas_min:
        return f"It has {replicas} replicas now: another number shows a plan."
    parameters: Mapping[str, str | int] = {
        "endpoint": endpoint.id,
        "model": model.id,
        "replicas": replicas,
    }
    return Request("scale_replicas", spec.name, parameters)


def _shift(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    places = _places(snapshot, spec)
    endpoints = {
        f"Vertex endpoint {e.display_name}": e
        for e in endpoints_of(snapshot, spec)
        if len(e.deployed) > 1
    }
    names = [*places, *endpoints]
    if not names:
        return "Nothing leads to this tier."
    where = st.selectbox("Of what comes by", names, key="plan_place", width=300)
    if where in endpoints:
        return _split(endpoints[where], spec)
    targets = _targets(snapshot, places[where])
    if not targets:
        return "There is no other backend service to send it to."
    to = st.selectbox("send to", targets, key="plan_to", width=200)
    percent = number_field.whole("percent", 0, 100, 10, step=5, key="plan_percent", width=120)
    parameters: dict[str, str | int] = {"place": where, "to": to, "percent": percent}
    return Request("shift_traffic", spec.name, parameters | _canary())


def _canary() -> dict[str, str | int]:
    """The parameters of a canary; empty: all at once."""
    if not st.checkbox(
        "Canary first", key="plan_canary",
        help="A smaller share first, each stage watched; the weights go back by themselves on harm",
    ):  # fmt: skip
        return {}
    percent = number_field.whole("canary percent", 1, 99, 5, key="plan_canary_percent", width=130)
    minutes = number_field.whole(
        "minutes watched", LEAST_MIN, MOST_MIN, 10, key="plan_watch_min", width=140
    )
    return {"canary_percent": percent, "watch_min": minutes}


def _split(endpoint: Endpoint, spec: TierSpec) -> Request | str:
    models = {f"{m.display_name} ({m.id})": m for m in endpoint.deployed}
    to = st.selectbox("send to", list(models), key="plan_model", width=260)
    percent = number_field.whole("percent", 0, 100, 10, step=5, key="plan_percent", width=120)
    parameters: dict[str, str | int] = {
        "endpoint": endpoint.id,
        "to": models[to].id,
        "percent": percent,
    }
    return Request("shift_traffic", spec.name, parameters | _canary())


def _places(snapshot: Snapshot, spec: TierSpec) -> dict[str, Division]:
    if snapshot.load_balancer is None or not spec.backend_service:
        return {}
    return {d.place.name: d for d in leading_to(snapshot.load_balancer, spec.backend_service)}


def _targets(snapshot: Snapshot, division: Division) -> Sequence[str]:
    """Who answers comes first, and of those who gets nothing yet: a canary is asked for most.

    Who gets all of it already is none.
    """
    there = {s for s, weight in division.shares if weight}
    services = snapshot.load_balancer.backend_services if snapshot.load_balancer else ()

    def order(service: BackendService) -> tuple[bool, bool]:
        found = health(service)
        return found is not None and found[0] == 0, service.name in there

    return [s.name for s in sorted(services, key=order) if there != {s.name}]


def _fail_over(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    others = {s.title: s.name for s in snapshot.specs if s.backend_service and s.name != spec.name}
    if not others:
        return "No other tier stands behind the load balancer."
    to = st.selectbox("Send all of its paths to", list(others), key="plan_taker", width=260)
    return Request("fail_over", spec.name, {"to": others[to]})


def _drain(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    return _groups(snapshot, spec, "drain_tier", "Take out of rotation")


def _restore(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    return _groups(snapshot, spec, "restore_tier", "Give back to rotation")


def _groups(snapshot: Snapshot, spec: TierSpec, action: str, label: str) -> Request | str:
    services = snapshot.load_balancer.backend_services if snapshot.load_balancer else ()
    groups = [
        b.group
        for s in services
        if s.name == spec.backend_service
        for b in s.backends
        if (b.capacity_ratio == 0) is (action == "restore_tier")
    ]
    chosen = st.selectbox(label, [_ALL, *groups], key="plan_group", width=420)
    return Request(action, spec.name, {} if chosen == _ALL else {"group": chosen})


def _budget(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    found = find_budget(spec, snapshot.budgets)
    now = float(found.amount_usd or 0.0) if found else 0.0
    typed = float(st.session_state.get("plan_amount_usd") or now)
    amount = number_field.amount(
        f"US dollars a month · {formats.money(typed)}".replace("$", "\\$"),
        1.0, 1e12, max(1.0, now), step=1000.0, form="%.2f", key="plan_amount_usd", width=240,
    )  # fmt: skip
    thresholds = st.text_input(
        "Notify at", told_ratios(found.threshold_ratios) if found else "", key="plan_thresholds",
        help="Percentages of the budget, separated by commas; nobody is notified where it is empty",
        width=220,
    )  # fmt: skip
    if found and (amount, thresholds) == (now, told_ratios(found.threshold_ratios)):
        return "Change the amount or the thresholds to see a plan."
    return Request("change_budget", spec.name, {"amount_usd": amount, "thresholds": thresholds})


def _restart(snapshot: Snapshot, spec: TierSpec) -> Request | str:
    names = restartable(assemble_fleet(snapshot).tier(spec.name))
    if not names:
        return "It has no slice on GKE whose hosts are known."
    chosen = st.selectbox("Slice", names, key="plan_slice", width=420)
    return Request("restart_slice", spec.name, {"slice": chosen})


FORMS: Final = MappingProxyType[str, Form](
    {
        "provision_tier": Form(
            "Provision", ":material/add_circle:",
            "Make what is missing of it: network, cluster, pools, servers, balancer, alerts",
            "Provision {tier}", lifecycle_forms.provision,
        ),
        "scale_tier": Form(
            "Scale", ":material/expand:",
            "Add or remove host-slices, or go to a rate or a latency", "Scale {tier}", _scale,
        ),
        "scale_replicas": Form(
            "Scale on Vertex", ":material/dynamic_feed:", "Change a deployed model's replicas",
            "Scale {tier} on Vertex", _replicas,
        ),
        "shift_traffic": Form(
            "Shift traffic", ":material/alt_route:", "Send a share of its requests elsewhere",
            "Shift traffic of {tier}", _shift,
        ),
        "fail_over": Form(
            "Fail over", ":material/switch_access_shortcut:",
            "Send all of its paths to another tier", "Fail {tier} over", _fail_over,
        ),
        "drain_tier": Form(
            "Drain", ":material/water_drop:", "Take its backends out of rotation",
            "Drain {tier}", _drain,
        ),
        "restore_tier": Form(
            "Restore", ":material/settings_backup_restore:",
            "Give drained backends their capacity back", "Restore {tier}", _restore,
        ),
        "restart_slice": Form(
            "Restart a slice", ":material/restart_alt:",
            "Evict its servers' pods; new ones come on the same hosts",
            "Restart a slice of {tier}", _restart,
        ),
        "deploy_model": Form(
            "Deploy a model", ":material/deployed_code_update:",
            "Bring weights from a bucket and roll them out", "Deploy a model on {tier}",
            lifecycle_forms.deploy,
        ),
        "roll_back": Form(
            "Roll back", ":material/undo:", "Serve again what was served before the last roll-out",
            "Roll {tier} back", lifecycle_forms.roll_back,
        ),
        "acknowledge_incident": Form(
            "Acknowledge an alert", ":material/notifications_paused:",
            "Say that you look after it; kept in the audit, Monitoring does not learn of it",
            "Acknowledge an alert of {tier}", lifecycle_forms.acknowledge,
            lifecycle_forms.acknowledge_of_all,
        ),
        "change_budget": Form(
            "Change budget", ":material/savings:", "Amount and thresholds of its monthly budget",
            "Change the budget of {tier}", _budget,
        ),
        "take_back": Form(
            "Take back", ":material/undo:",
            "Undo what an action did, where it is as it left it; what it deleted stays deleted",
            "Take back an action on {tier}", take_back_view.draw_form,
        ),
        "tear_down_tier": Form(
            "Tear down", ":material/delete_forever:", "Delete all that was made for this tier",
            "Tear {tier} down", lifecycle_forms.tear_down, destructive=True,
        ),
        "clean_up_orphans": Form(
            "Clean up orphans", ":material/cleaning_services:",
            "Delete what was made from here and belongs to no tier any more",
            "Clean up orphans", None, lifecycle_forms.clean_up,
        ),
        "tear_down_all": Form(
            "Tear down everything", ":material/delete_forever:",
            "Delete every tier on GKE and what they share", "Tear down everything", None,
            lifecycle_forms.tear_down_all, destructive=True,
        ),
    }
)  # fmt: skip
