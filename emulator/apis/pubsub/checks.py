"""What Pub/Sub refuses, and in which words."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from google.pubsub_v1.types import pubsub as types

from emulator.apis.pubsub.filters import compile_filter
from emulator.apis.pubsub.model import seconds
from emulator.scenario import Project
from emulator.wire.codec import plain
from emulator.wire.errors import ApiError, invalid
from emulator.wire.names import check_project

SERVICE: Final = "pubsub.googleapis.com"
_ID: Final = re.compile(r"(?!goog)[A-Za-z][-A-Za-z0-9_.~+%]{2,254}")
_NAMES: Final = "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names"
_KEY: Final = r"[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}"
_VALUE: Final = r"[\p{Ll}\p{Lo}\p{N}_-]{0,63}"
_KMS_KEY: Final = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_MOST_MESSAGES: Final = 1000
_MOST_BYTES: Final = 10_000_000
_RETENTION_S: Final = (600.0, 31 * 86_400.0)
# Field → what it is for: Google serves these, the emulator does not.
_TOPIC_UNSERVED: Final = ("ingestion_data_source_settings", "message_transforms", "tags")
_SUBSCRIPTION_UNSERVED: Final = (
    "cloud_storage_config", "bigtable_config", "message_transforms", "tags",
)  # fmt: skip
_FIXED: Final = {
    "Topic": ("name",),
    "Subscription": ("name", "topic", "enable_message_ordering", "filter", "detached", "state"),
    "Snapshot": ("name", "topic"),
}


def check_name(project: Project, kind: str, name: str) -> str:
    """The name under the project's id.

    Args:
        kind: "topics", "subscriptions" or "snapshots".

    Raises:
        ApiError: INVALID_ARGUMENT, or PERMISSION_DENIED for another project.
    """
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "projects" or parts[2] != kind or not _ID.fullmatch(parts[3]):
        raise invalid(
            f"Invalid resource name given (name={name}). Refer to {_NAMES} for more information."
        )
    check_project(project, parts[1], service=SERVICE)
    return f"projects/{project.id}/{kind}/{parts[3]}"


def check_parent(project: Project, name: str) -> None:
    """Pass projects/P of this project."""
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != "projects":
        raise invalid(
            f"Invalid resource name given (name={name}). Refer to {_NAMES} for more information."
        )
    check_project(project, parts[1], service=SERVICE)


def not_there(name: str) -> ApiError:
    """NOT_FOUND in Pub/Sub's words."""
    return ApiError("NOT_FOUND", f"Resource not found (resource={name.rpartition('/')[2]}).")


def taken(name: str) -> ApiError:
    """ALREADY_EXISTS in Pub/Sub's words."""
    short = name.rpartition("/")[2]
    return ApiError("ALREADY_EXISTS", f"Resource already exists in the project (resource={short}).")


def bad_argument(what: str) -> ApiError:
    """INVALID_ARGUMENT in Pub/Sub's words."""
    return invalid(f"You have passed an invalid argument to the service (argument={what}).")


def check_mask(kind: str, paths: Sequence[str], message: Any) -> None:
    """Pass a mask of fields that may change.

    Args:
        kind: "Topic", "Subscription" or "Snapshot".
    """
    asked = f"Update{kind}Request"
    if not paths:
        raise invalid(
            f"The update_mask in the {asked} must be set, and must contain a non-empty paths list."
        )
    known = plain(message).DESCRIPTOR.fields_by_name
    for path in paths:
        if path in _FIXED[kind]:
            raise invalid(
                f"Invalid update_mask provided in the {asked}: the '{path}' field in the {kind} "
                "is not mutable."
            )
        if path.split(".")[0] not in known:
            raise invalid(
                f"Invalid update_mask provided in the {asked}: '{path}' is not a known {kind} "
                "field. Note that field paths must be of the form 'push_config' rather than "
                "'pushConfig'."
            )


def check_topic(topic: types.Topic) -> None:
    """Pass a topic whose settings are allowed and served."""
    inside = plain(topic)
    _check_served(inside, _TOPIC_UNSERVED)
    check_labels(topic.labels)
    if inside.HasField("message_retention_duration"):
        _check_retention(seconds(inside, "message_retention_duration"))
    if topic.kms_key_name and not _KMS_KEY.fullmatch(topic.kms_key_name):
        raise bad_argument("kms_key_name")
    if inside.HasField("schema_settings"):
        # There is no schema in this project: none can be made.
        raise not_there(topic.schema_settings.schema)
    policy = inside.message_storage_policy
    if inside.HasField("message_storage_policy") and not policy.allowed_persistence_regions:
        raise bad_argument("message_storage_policy")


def check_subscription(found: types.Subscription) -> None:
    """Pass a subscription whose settings, defaults filled in, are allowed and served."""
    inside = plain(found)
    _check_served(inside, _SUBSCRIPTION_UNSERVED)
    check_labels(found.labels)
    compile_filter(found.filter)
    check_deadline(found.ack_deadline_seconds, 10)
    _check_retention(seconds(inside, "message_retention_duration"))
    ttl_s = seconds(inside.expiration_policy, "ttl")
    if inside.expiration_policy.HasField("ttl") and ttl_s < 86_400:
        raise invalid(
            f"The value for expiration duration is too small. You passed {in_go(ttl_s)} in the "
            "request, but the minimum value is 24h."
        )
    if inside.HasField("dead_letter_policy"):
        attempts = inside.dead_letter_policy.max_delivery_attempts
        _check_within("max delivery attempts", attempts, 5, 100, str)
    for name in ("minimum_backoff", "maximum_backoff"):
        wait_s = seconds(inside.retry_policy, name)
        _check_within(name.replace("_", " "), wait_s, 0, 600, in_go)
    _check_kind(found)


def _check_kind(found: types.Subscription) -> None:
    """Pass a subscription that pulls, pushes or writes to BigQuery, and no two of these."""
    endpoint, table = found.push_config.push_endpoint, found.bigquery_config.table
    if endpoint and table:
        raise bad_argument("push_config and bigquery_config cannot both be set")
    if endpoint:
        check_endpoint(endpoint)
        token = found.push_config.oidc_token
        if plain(found).push_config.HasField("oidc_token") and not token.service_account_email:
            raise bad_argument("PushConfig::oidc_token::service_account_email")
    if (endpoint or table) and found.enable_exactly_once_delivery:
        raise bad_argument("exactly-once delivery is for pull subscriptions")
    config = found.bigquery_config
    if config.use_topic_schema and config.use_table_schema:
        raise bad_argument("use_topic_schema and use_table_schema cannot both be set")


def check_endpoint(endpoint: str) -> None:
    """Pass an address over HTTPS, and over HTTP on this machine."""
    try:
        parts = urlsplit(endpoint)
        fine = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and on_loopback(endpoint))
        )
    except ValueError:
        fine = False
    if not fine:
        raise invalid(
            f"Invalid push endpoint given (endpoint={endpoint}). Refer to "
            "https://cloud.google.com/pubsub/subscriber#create for more information."
        )


def on_loopback(endpoint: str) -> bool:
    """Whether an endpoint is on this machine: only to such are messages sent."""
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname or "", parts.port
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_deadline(given: int, least: int) -> None:
    """Pass seconds from `least` to 600."""
    if not least <= given <= 600:
        raise invalid(
            f"Invalid ack deadline given (ack_deadline={given}). The ack deadline must be between "
            f"{least} and 600 seconds."
        )


def check_messages(request: types.PublishRequest) -> None:
    """Pass what can be published together."""
    given = plain(request).messages
    if not given:
        raise _count("small", 0, "minimum", 1)
    if len(given) > _MOST_MESSAGES:
        raise _count("large", len(given), "maximum", _MOST_MESSAGES)
    size = plain(request).ByteSize()
    if size > _MOST_BYTES:
        raise invalid(
            f"The value for request_size is too large. You passed {size} in the request, but the "
            f"maximum value is {_MOST_BYTES}."
        )
    if len({m.ordering_key for m in given}) > 1:
        raise invalid(
            "In a single publish request, all messages must have no ordering key, or they must "
            "all have the same ordering key."
        )
    if len(given[0].ordering_key.encode()) > 1024:
        raise bad_argument("ordering_key")
    for message in given:
        if not message.data and not message.attributes:
            raise invalid(
                "One or more messages in the publish request is empty. Each message must contain "
                "either non-empty data, or at least one attribute."
            )
        _check_attributes(message.attributes)


def _check_attributes(given: Mapping[str, str]) -> None:
    if len(given) > 100:
        raise bad_argument("a message may have 100 attributes at most")
    for key, value in given.items():
        if not key or key.startswith("goog") or len(key.encode()) > 256:
            raise bad_argument(f"attribute key '{key}'")
        if len(value.encode()) > 1024:
            raise bad_argument(f"the value of the attribute '{key}' is longer than 1024 bytes")


def _count(what: str, given: int, which: str, bound: int) -> ApiError:
    return invalid(
        f"The value for message_count is too {what}. You passed {given} in the request, but the "
        f"{which} value is {bound}."
    )


def check_labels(labels: Mapping[str, str]) -> None:
    """Pass labels as all of Google's resources take them."""
    if len(labels) > 64:
        raise bad_argument('Invalid labels: Invalid field "labels"; more than 64')
    for key, value in sorted(labels.items()):
        where = 'Invalid labels: Invalid field "labels"'
        if not key or not _is_letter(key[0]):
            raise bad_argument(
                f'{where}; key "{key}" does not conform to regular expression "{_KEY}"; first '
                f'character "{key[:1]}" is not a non-uppercased letter (Unicode character class '
                "Ll or Lo)"
            )
        if len(key) > 63 or not all(map(_is_word, key)):
            raise bad_argument(
                f'{where}; key "{key}" does not conform to regular expression "{_KEY}"'
            )
        if len(value) > 63 or not all(map(_is_word, value)):
            raise bad_argument(
                f'{where}; value "{value}" does not conform to regular expression "{_VALUE}"'
            )


def _is_letter(character: str) -> bool:
    return unicodedata.category(character) in ("Ll", "Lo")


def _is_word(character: str) -> bool:
    return character in "_-" or unicodedata.category(character) in ("Ll", "Lo", "Nd", "Nl", "No")


def _check_served(message: Any, fields: Sequence[str]) -> None:
    for name in fields:
        if any(field.name == name for field, _ in message.ListFields()):
            raise ApiError("UNIMPLEMENTED", f"The emulator does not implement {name} of Pub/Sub.")


def _check_retention(given_s: float) -> None:
    _check_within("message retention duration", given_s, *_RETENTION_S, in_go)


def _check_within(what: str, given: float, least: float, most: float, shown: Any) -> None:
    if not least <= given <= most:
        raise invalid(
            f"The value for {what} is out of bounds. You passed {shown(given)} in the request, "
            f"but the value must be between {shown(least)} and {shown(most)}."
        )


def in_go(duration_s: float) -> str:
    """Seconds as Go writes durations without trailing zeros: 9m59s, 24h, 0s."""
    hours, rest = divmod(abs(duration_s), 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{int(hours)}h" if hours else "", f"{int(minutes)}m" if minutes else "",
             f"{rest:.9f}".rstrip("0").rstrip(".") + "s" if rest else ""]  # fmt: skip
    return ("-" if duration_s < 0 else "") + ("".join(parts) or "0s")
