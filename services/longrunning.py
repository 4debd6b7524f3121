"""Operations in google.longrunning's form, as several products have them."""

from __future__ import annotations

from typing import Any

from services.gke import OperationState


def operation_state(name: str, found: Any) -> OperationState:
    """The state of an operation as `operations_client.get_operation` gave it."""
    return OperationState(
        name=name,
        done=bool(found.done),
        status="DONE" if found.done else "RUNNING",
        detail="",
        error=str(found.error.message) if found.HasField("error") else None,
        progress_ratio=1.0 if found.done else None,
    )
