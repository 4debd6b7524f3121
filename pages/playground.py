"""Playground: a conversation with a tier's model, with its timing, tokens and dollars."""

from __future__ import annotations

import streamlit as st

from ui import chat, chrome, playground_view

chrome.through_app()

target = playground_view.choose_target()
for turn in chat.turns():
    chat.draw_turn(turn)
suggested = playground_view.suggestion()
typed = st.chat_input(
    playground_view.invitation(target),
    submit_mode="stop", max_chars=20_000, disabled=target is None, key="prompt",
)  # fmt: skip
prompt = typed or suggested
if prompt and target:
    chat.answer(target, playground_view.system_prompt(), str(prompt), playground_view.parameters())
    st.rerun()
