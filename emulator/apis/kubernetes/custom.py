"""Kinds that CustomResourceDefinitions define: what is served, with which columns and schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emulator.apis.kubernetes.resources import Column, Kind

_AGE: Final = Column("Age", "date", path=".metadata.creationTimestamp")


def kinds_of(definition: Mapping[str, Any]) -> tuple[Kind, ...]:
    """One kind per served version; the version that is stored first."""
    spec = definition["spec"]
    versions = [v for v in spec["versions"] if v.get("served")]
    return tuple(_kind(spec, version) for version in sorted(versions, key=_rank))


def _rank(version: Mapping[str, Any]) -> bool:
    return not version.get("storage")


def _kind(spec: Mapping[str, Any], version: Mapping[str, Any]) -> Kind:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    columns = version.get("additionalPrinterColumns")
    own = tuple(_column(column) for column in columns) if columns else (_AGE,)
    return Kind(
        group=str(spec["group"]),
        version=str(version["name"]),
        plural=str(names["plural"]),
        name=str(names["kind"]),
        namespaced=spec.get("scope") == "Namespaced",
        columns=(Column("Name", format="name"), *own),
        short=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(name for name in ("status", "scale") if name in subresources),
        schema=(version.get("schema") or {}).get("openAPIV3Schema") or {},
        singular=str(names.get("singular") or ""),
        list_name=str(names.get("listKind") or ""),
        scale=subresources.get("scale"),
    )


def _column(column: Mapping[str, Any]) -> Column:
    return Column(
        name=str(column.get("name", "")),
        type=str(column.get("type", "string")),
        priority=int(column.get("priority") or 0),
        format=str(column.get("format") or ""),
        path=str(column.get("jsonPath", "")),
    )
