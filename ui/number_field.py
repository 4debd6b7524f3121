"""Numbers in an action's form: a wrong one stands there with a word on it, and gives no plan.

A browser keeps a number beyond a widget's own limits to itself: the form would show it, beside the
plan of the number before. So the widgets here get none, and what was typed is judged after it.
Streamlit's own stay, ±(2⁵³ − 1) for whole numbers and ±1.8e308 for others: beyond those the browser
puts its word on the field, and the plan beside it is still of the number before.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, overload

import streamlit as st

_WRONG: Final[ContextVar[list[str]]] = ContextVar("wrong_numbers")


@contextmanager
def judged() -> Generator[list[str]]:
    """While a form is drawn: what is wrong with its numbers, in their order."""
    found: list[str] = []
    token = _WRONG.set(found)
    try:
        yield found
    finally:
        _WRONG.reset(token)


@overload
def whole(
    label: str, least: int, most: int, value: int, *, key: str, width: int, step: int = 1,
    hint: str | None = None,
) -> int: ...  # fmt: skip


@overload
def whole(
    label: str, least: int, most: int, value: None, *, key: str, width: int, placeholder: str
) -> int | None: ...


def whole(
    label: str, least: int, most: int, value: int | None, *, key: str, width: int, step: int = 1,
    hint: str | None = None, placeholder: str | None = None,
) -> int | None:  # fmt: skip
    """A whole number from `least` to `most`; None where it may be left open and is."""
    typed = st.number_input(
        label, value=value, step=step, key=key, width=width, help=hint, placeholder=placeholder
    )
    if typed is None:
        return None
    _judge(label, typed, least, most)
    return int(typed)


def amount(
    label: str, least: float, most: float, value: float, *, key: str, width: int, step: float,
    form: str | None = None,
) -> float:  # fmt: skip
    """A number from `least` to `most`."""
    typed = st.number_input(label, value=value, step=step, key=key, width=width, format=form)
    _judge(label, typed, least, most)
    return float(typed)


def _judge(label: str, typed: float, least: float, most: float) -> None:
    if not least <= typed <= most:
        name = label.partition(" · ")[0]
        span = f"{_told(least)} to {_told(most)}"
        _WRONG.get().append(f"{name}: {_told(typed)} is not within {span}.")


def _told(number: float) -> str:
    """Every digit of it: who typed it has to know it again."""
    return f"{int(number):,}" if number == int(number) else f"{number:,}"
