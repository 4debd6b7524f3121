"""Which aligner and reducer may follow which kind and type, and what comes out.

From the comments on Aggregation.Aligner and Aggregation.Reducer in Google's API definition.
"""

from __future__ import annotations

from typing import Final

from emulator.apis.monitoring.catalogue import (
    BOOL,
    CUMULATIVE,
    DELTA,
    DISTRIBUTION,
    DOUBLE,
    GAUGE,
    INT64,
)
from emulator.wire.errors import ApiError, invalid

_NUMERIC: Final = frozenset({DOUBLE, INT64})

# aligner → kinds, value types, kind and value type of the result ("": as before)
_ALIGNERS: Final[dict[str, tuple[frozenset[str], frozenset[str], str, str]]] = {
    "ALIGN_DELTA": (frozenset({DELTA, CUMULATIVE}), _NUMERIC | {DISTRIBUTION}, DELTA, ""),
    "ALIGN_RATE": (frozenset({DELTA, CUMULATIVE}), _NUMERIC, GAUGE, DOUBLE),
    "ALIGN_INTERPOLATE": (frozenset({GAUGE}), _NUMERIC, GAUGE, ""),
    "ALIGN_NEXT_OLDER": (frozenset({GAUGE}), _NUMERIC | {BOOL}, GAUGE, ""),
    "ALIGN_MIN": (frozenset({GAUGE, DELTA}), _NUMERIC, GAUGE, ""),
    "ALIGN_MAX": (frozenset({GAUGE, DELTA}), _NUMERIC, GAUGE, ""),
    "ALIGN_MEAN": (frozenset({GAUGE, DELTA}), _NUMERIC, GAUGE, DOUBLE),
    "ALIGN_COUNT": (frozenset({GAUGE, DELTA}), _NUMERIC | {BOOL}, GAUGE, INT64),
    "ALIGN_SUM": (frozenset({GAUGE, DELTA}), _NUMERIC | {DISTRIBUTION}, "", ""),
    "ALIGN_STDDEV": (frozenset({GAUGE, DELTA}), _NUMERIC, GAUGE, DOUBLE),
    "ALIGN_COUNT_TRUE": (frozenset({GAUGE}), frozenset({BOOL}), GAUGE, INT64),
    "ALIGN_COUNT_FALSE": (frozenset({GAUGE}), frozenset({BOOL}), GAUGE, INT64),
    "ALIGN_FRACTION_TRUE": (frozenset({GAUGE}), frozenset({BOOL}), GAUGE, DOUBLE),
    **{
        f"ALIGN_PERCENTILE_{p}": (
            frozenset({GAUGE, DELTA}), frozenset({DISTRIBUTION}), GAUGE, DOUBLE
        )
        for p in ("99", "95", "50", "05")
    },
}  # fmt: skip

_REDUCERS: Final[dict[str, tuple[frozenset[str], str]]] = {
    "REDUCE_MEAN": (_NUMERIC | {DISTRIBUTION}, DOUBLE),
    "REDUCE_MIN": (_NUMERIC, ""),
    "REDUCE_MAX": (_NUMERIC, ""),
    "REDUCE_SUM": (_NUMERIC | {DISTRIBUTION}, ""),
    "REDUCE_STDDEV": (_NUMERIC | {DISTRIBUTION}, DOUBLE),
    "REDUCE_COUNT": (_NUMERIC | {DISTRIBUTION, BOOL}, INT64),
    "REDUCE_COUNT_TRUE": (frozenset({BOOL}), INT64),
    "REDUCE_COUNT_FALSE": (frozenset({BOOL}), INT64),
    "REDUCE_FRACTION_TRUE": (frozenset({BOOL}), DOUBLE),
    **{
        f"REDUCE_PERCENTILE_{p}": (_NUMERIC | {DISTRIBUTION}, DOUBLE)
        for p in ("99", "95", "50", "05")
    },
}


def aligned_type(aligner: str, kind: str, value_type: str, field: str) -> tuple[str, str]:
    """(kind, value type) behind the aligner.

    Raises:
        ApiError: INVALID_ARGUMENT: the aligner does not fit; UNIMPLEMENTED: not emulated.
    """
    if aligner == "ALIGN_PERCENT_CHANGE":
        raise ApiError("UNIMPLEMENTED", "The emulator does not implement ALIGN_PERCENT_CHANGE.")
    kinds, types, out_kind, out_type = _ALIGNERS[aligner]
    if kind not in kinds or value_type not in types:
        raise invalid(
            f'Field {field}.perSeriesAligner had an invalid value of "{aligner}": The aligner '
            f"cannot be applied to metrics with kind {kind} and value type {value_type}."
        )
    return out_kind or kind, out_type or value_type


def reduced_type(reducer: str, kind: str, value_type: str, field: str) -> str:
    """The value type behind the reducer.

    Raises:
        ApiError: INVALID_ARGUMENT: the reducer does not fit.
    """
    types, out_type = _REDUCERS[reducer]
    if value_type not in types or kind == CUMULATIVE:
        raise invalid(
            f'Field {field}.crossSeriesReducer had an invalid value of "{reducer}": The reducer '
            f"cannot be applied to metrics with kind {kind} and value type {value_type}."
        )
    return out_type or value_type
