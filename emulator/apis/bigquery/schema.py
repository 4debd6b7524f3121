"""Columns of the detailed billing export (gcp_billing_export_resource_v1_*) as documented."""

from __future__ import annotations

from typing import Any, Final


def _column(
    name: str, kind: str, *fields: dict[str, Any], repeated: bool = False
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": name, "type": kind, "mode": "REPEATED" if repeated else "NULLABLE",
    }  # fmt: skip
    if fields:
        found["fields"] = list(fields)
    return found


def _texts(*names: str) -> tuple[dict[str, Any], ...]:
    return tuple(_column(name, "STRING") for name in names)


EXPORT: Final[list[dict[str, Any]]] = [
    _column("billing_account_id", "STRING"),
    _column("service", "RECORD", *_texts("id", "description")),
    _column("sku", "RECORD", *_texts("id", "description")),
    _column("usage_start_time", "TIMESTAMP"),
    _column("usage_end_time", "TIMESTAMP"),
    _column("project", "RECORD", *_texts("id", "number", "name")),
    _column("labels", "RECORD", *_texts("key", "value"), repeated=True),
    _column("system_labels", "RECORD", *_texts("key", "value"), repeated=True),
    _column("location", "RECORD", *_texts("location", "country", "region", "zone")),
    _column("resource", "RECORD", *_texts("name", "global_name")),
    _column("export_time", "TIMESTAMP"),
    _column("cost", "FLOAT"),
    _column("currency", "STRING"),
    _column("currency_conversion_rate", "FLOAT"),
    _column(
        "usage", "RECORD",
        _column("amount", "FLOAT"), _column("unit", "STRING"),
        _column("amount_in_pricing_units", "FLOAT"), _column("pricing_unit", "STRING"),
    ),
    _column(
        "credits", "RECORD",
        _column("name", "STRING"), _column("amount", "FLOAT"),
        *_texts("full_name", "id", "type"), repeated=True,
    ),
    _column("invoice", "RECORD", *_texts("month")),
    _column("cost_type", "STRING"),
    _column("cost_at_list", "FLOAT"),
]  # fmt: skip

CREATE: Final = """
CREATE OR REPLACE VIEW export AS
SELECT
  '{account}' AS billing_account_id,
  {'id': line.service_id, 'description': line.service} AS service,
  {'id': line.sku_id, 'description': line.sku} AS sku,
  to_timestamp(fact.start) AS usage_start_time,
  to_timestamp(fact.start + 3600) AS usage_end_time,
  struct_pack(id := '{project}', number := '{number}', name := '{project}') AS project,
  line.labels AS labels,
  []::STRUCT(key VARCHAR, value VARCHAR)[] AS system_labels,
  {'location': line.location, 'country': 'US', 'region': line.region,
   'zone': line.zone} AS location,
  {'name': line.resource, 'global_name': line.global_name} AS resource,
  to_timestamp(fact.exported) AS export_time,
  fact.amount * line.usd AS cost,
  'USD' AS currency,
  1.0::DOUBLE AS currency_conversion_rate,
  {'amount': fact.amount * line.base, 'unit': line.base_unit,
   'amount_in_pricing_units': fact.amount, 'pricing_unit': line.unit} AS usage,
  CASE WHEN line.credit_share > 0 THEN
    [{'name': line.credit, 'amount': -fact.amount * line.usd * line.credit_share,
      'full_name': line.credit, 'id': line.credit_id, 'type': line.credit_type}]
  ELSE []::STRUCT(name VARCHAR, amount DOUBLE, full_name VARCHAR, id VARCHAR, type VARCHAR)[]
  END AS credits,
  {'month': strftime(to_timestamp(fact.start)::TIMESTAMP, '%Y%m')} AS invoice,
  'regular' AS cost_type,
  fact.amount * line.usd AS cost_at_list
FROM fact JOIN line USING (number)
"""
