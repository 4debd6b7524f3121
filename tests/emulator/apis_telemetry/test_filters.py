"""Cloud Monitoring's filter language: what it accepts, selects and refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.apis.monitoring import filters
from emulator.apis.monitoring.columns import table

ZONES = ["a", "b", 'quo"te', "back\\slash", ""]
FIXED = {"metric.type": "x.com/y", "resource.type": "k8s_node", "project": "p"}


def select(text: str) -> list[str]:
    """The zones of the series that the filter lets through."""
    rows = table(len(ZONES), resource={"zone": ZONES}, metric={"code": ["1", "2", "3", "4", "5"]})
    mask = filters.parse(text).select(rows, FIXED)
    return [zone for zone, chosen in zip(ZONES, mask, strict=True) if chosen]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ZONES),
        ('resource.labels.zone = "a"', ["a"]),
        ('resource.label.zone="a" OR resource.label."zone"="b"', ["a", "b"]),
        ('resource.labels.zone != "a" AND metric.labels.code < 3', ["b"]),
        ('resource.type="k8s_node" resource.labels.zone="b"', ["b"]),
        ("resource.labels.zone = one_of('a', \"b\")", ["a", "b"]),
        ('resource.labels.zone = starts_with("quo")', ['quo"te']),
        ('resource.labels.zone != has_substring("a")', ["b", 'quo"te', ""]),
        ('resource.labels.zone = monitoring.regex.full_match("[ab]")', ["a", "b"]),
        ('NOT (resource.labels.zone = "a" OR metric.type != "x.com/y")', ZONES[1:]),
        ('metadata.user_labels."heartwood-tier" = "small"', []),
        ('metric.type = starts_with("x.com/")', ZONES),
    ],
)
def test_selects(text: str, expected: list[str]) -> None:
    """Each form selects what Google's documentation says."""
    assert select(text) == expected


@pytest.mark.parametrize(
    "text",
    ["=", 'resource.zone = "a"', 'resource.labels.zone = "a" AND', '(metric.type = "x"',
     'metric.type = "unclosed', 'metric.type = nope("a")', 'metric.type > starts_with("a")',
     "(" * 100 + 'metric.type="a"' + ")" * 100, 'metric.type = monitoring.regex.full_match("(")'],
)  # fmt: skip
def test_refuses(text: str) -> None:
    """What breaks the grammar is refused with a word."""
    with pytest.raises(filters.FilterError, match=r"\w"):
        filters.parse(text)


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """No text makes the parser fail otherwise."""
    try:
        select(text)
    except filters.FilterError:
        return


@given(st.sampled_from(ZONES), st.sampled_from(["'", '"']))
def test_quoting_round_trips(zone: str, quote: str) -> None:
    """Any label can be asked for exactly, whatever characters it holds."""
    escaped = zone.replace("\\", "\\\\").replace(quote, "\\" + quote)
    assert select(f"resource.labels.zone = {quote}{escaped}{quote}") == [zone]


@given(st.lists(st.sampled_from(ZONES), min_size=1, max_size=4))
def test_de_morgan(zones: list[str]) -> None:
    """NOT (a OR b) is NOT a AND NOT b."""
    terms = [f"resource.labels.zone = {_quote(z)}" for z in zones]
    left = "NOT (" + " OR ".join(terms) + ")"
    right = " AND ".join(f"NOT {t}" for t in terms)
    assert select(left) == select(right)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def test_metric_type_is_found_where_it_is_certain() -> None:
    """The one metric type is read from AND-ed terms, and from no others."""
    find = lambda text: filters.metric_type(filters.parse(text))  # noqa: E731 - only here
    assert find('metric.type = "a" AND resource.type = "b"') == "a"
    assert find('(metric.type = "a") resource.labels.x = "b"') == "a"
    assert find('metric.type = "a" OR metric.type = "b"') == ""
    assert find('metric.type = starts_with("a")') == ""
    assert find('NOT metric.type = "a"') == ""
