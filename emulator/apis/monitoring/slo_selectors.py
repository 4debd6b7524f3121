"""The names of SLO series: `select_slo_burn_rate("projects/…/serviceLevelObjectives/x", "1h")`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from emulator.wire.errors import ApiError, invalid

# name → whether it takes a lookback period
SELECTORS: Final = {
    "select_slo_health": False,
    "select_slo_compliance": False,
    "select_slo_burn_rate": True,
    "select_slo_budget": False,
    "select_slo_budget_fraction": False,
    "select_slo_budget_total": False,
    "select_slo_counts": False,
}
_CALL: Final = re.compile(r"\s*(select_slo_\w+)\s*\((.*)\)\s*", re.DOTALL)
_TEXT: Final = re.compile(r'\s*(?:"([^"]*)"|\'([^\']*)\')\s*')
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Selector:
    """What is selected; `lookback_s` is 0 where none is taken."""

    name: str
    objective: str
    lookback_s: float


def is_selector(text: str) -> bool:
    """Whether a filter selects an SLO's series instead of a metric's."""
    return text.lstrip().startswith("select_slo_")


def read_selector(text: str) -> Selector:
    """The selector that the text is.

    Raises:
        ApiError: INVALID_ARGUMENT: it is none.
    """
    call = _CALL.fullmatch(text)
    if call is None or call[1] not in SELECTORS:
        raise _bad(text, "unknown time-series selector.")
    arguments = [_TEXT.fullmatch(part) for part in call[2].split(",")]
    texts = [found[1] or found[2] or "" for found in arguments if found is not None]
    wanted = 2 if SELECTORS[call[1]] else 1
    if len(texts) != len(arguments) or len(texts) != wanted:
        raise _bad(text, f"{call[1]} takes {wanted} texts.")
    return Selector(call[1], texts[0], _lookback(text, texts[1]) if wanted == 2 else 0.0)


def _lookback(text: str, given: str) -> float:
    found = _DURATION.fullmatch(given)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds < 60 or seconds % 60 or seconds > 30 * 86_400:
        raise _bad(text, "the lookback period must be whole minutes of at most 30 days.")
    return seconds


def _bad(text: str, why: str) -> ApiError:
    return invalid(f'Field filter had an invalid value of "{text}": {why}', field="filter")
