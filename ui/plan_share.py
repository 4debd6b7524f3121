"""Taking a plan along: save it under a link, download it, and what differs when made again."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode, urlsplit

import streamlit as st

from control.plan_export import to_json, to_markdown
from control.planning import Judged
from core.plan_difference import differences
from core.plans import Plan, Request
from core.terraform import to_terraform
from ui import access, formats, plan_view, states, tables

LINK: Final = "plan"  # in the address: the digest of a saved plan


def wanted(request_of: str) -> Plan | None:
    """The saved plan that the address names, if it is one of ACTION:TIER; else None, and why."""
    digest = st.query_params.get(LINK)
    if not digest:
        return None
    found = access.console().audit.saved_plan(digest)
    if found is None or name_of(found.request) != request_of:
        what = "no plan of that name was saved" if found is None else "it is another action's"
        st.warning(
            f"The plan {formats.plain(digest[:12])} in the address cannot be shown: {what}. Below "
            "is a new one.",
            icon=":material/link_off:",
        )
        return None
    return found


def name_of(request: Request) -> str:
    """ACTION:TIER, as the address names a dialog."""
    return f"{request.action}:{request.tier}"


def draw(judged: Judged) -> None:
    """Save with a link; Markdown; JSON; Terraform."""
    plan = judged.plan
    name = f"heartwood-plan-{plan.request.action}-{plan.request.tier}-{plan.digest[:12]}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Save with a link", key="plan_save", icon=":material/link:", type="tertiary",
            on_click=_save, args=(plan,),
            help="Whoever opens the link sees this very plan, judged as of then",
        )  # fmt: skip
        tables.save_button(
            "Markdown", lambda: to_markdown(judged), f"{name}.md", "text/markdown",
            key="plan_markdown", help_text="For a ticket or a chat",
        )  # fmt: skip
        tables.save_button(
            "JSON", lambda: to_json(judged), f"{name}.json", "application/json",
            key="plan_json", help_text="As `python -m control plan --format json` prints it",
        )  # fmt: skip
        tables.save_button(
            "Terraform", lambda: to_terraform(plan), f"{name}.tf.json", "application/json",
            key="plan_terraform", help_text="What it makes as code, what it changes in words",
        )  # fmt: skip
    if st.query_params.get(LINK) == plan.digest:
        st.code(_address(plan), language=None, wrap_lines=True)


def _save(plan: Plan) -> None:
    """Keep it, once, and name it in the address."""
    audit = access.console().audit
    if audit.saved_plan(plan.digest) != plan:
        audit.save_plan(plan, access.console().actor().name)
    st.query_params[LINK] = plan.digest


def _address(plan: Plan) -> str:
    url = urlsplit(st.context.url or "")
    query = urlencode({"do": name_of(plan.request), LINK: plan.digest}, safe=":")
    return url._replace(query=query, fragment="").geturl()


def draw_differences(old: Plan, new: Plan) -> None:
    """In what the plan differs from the one that it replaces."""
    found = differences(old, new)
    with st.container(border=True, gap="xsmall", key="plan_differences"):
        if not found:
            states.heading("Nothing differs", note=f"from the plan of {plan_view.made(old)}")
            return
        states.heading(
            f"{formats.plural(len(found), 'difference')}",
            note=f"from the plan of {plan_view.made(old)}",
        )
        plan_view.draw_list([formats.plain(line) for line in found])
