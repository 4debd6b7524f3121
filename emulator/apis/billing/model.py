"""The catalogue's services and SKUs as Google's messages, from the world's price list."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from google.cloud import billing_v1

from emulator.world.prices import REGION, SERVICES, SKUS, Sku

_UNITS: Final = {
    "h": ("hour", "s", "second", 3600.0),
    "GiBy.h": ("gibibyte hour", "By.s", "byte second", 3600.0 * 1024**3),
    "GiBy": ("gibibyte", "By", "byte", 1024.0**3),
    "GiBy.mo": ("gibibyte month", "By.s", "byte second", 730 * 3600.0 * 1024**3),
}
_EFFECTIVE: Final = datetime(2026, 8, 24, tzinfo=UTC)  # when the TPU prices were last seen


def services() -> list[Any]:
    """All services of the catalogue."""
    return [
        billing_v1.Service(
            name=f"services/{number}", service_id=number, display_name=title,
            business_entity_name="businessEntities/GCP",
        )
        for number, title in SERVICES.items()
    ]  # fmt: skip


def skus(service: str) -> list[Any]:
    """All SKUs of one service."""
    return [_sku(sku) for sku in SKUS if sku.service == service]


def _sku(sku: Sku) -> Any:
    words, base, base_words, factor = _UNITS[sku.unit]
    units = int(sku.usd)
    return billing_v1.Sku(
        name=f"services/{sku.service}/skus/{sku.id}",
        sku_id=sku.id,
        description=sku.description,
        category={
            "service_display_name": SERVICES[sku.service], "resource_family": sku.family,
            "resource_group": sku.group, "usage_type": sku.usage_type,
        },
        service_regions=[REGION],
        geo_taxonomy={"type_": "REGIONAL", "regions": [REGION]},
        pricing_info=[{
            "effective_time": _EFFECTIVE,
            "currency_conversion_rate": 1.0,
            "pricing_expression": {
                "usage_unit": sku.unit, "usage_unit_description": words,
                "base_unit": base, "base_unit_description": base_words,
                "base_unit_conversion_factor": factor, "display_quantity": 1.0,
                "tiered_rates": [{
                    "start_usage_amount": 0.0,
                    "unit_price": {"currency_code": "USD", "units": units,
                                   "nanos": round((sku.usd - units) * 1e9)},
                }],
            },
        }],
        service_provider_name="Google",
    )  # fmt: skip
