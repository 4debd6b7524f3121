"""Tables: an unknown cell says so, whatever kind of column it is in."""

from __future__ import annotations

from ui import tables


def test_an_unknown_ratio_is_no_blank_bar() -> None:
    """A bar column with a None becomes figures, where the grid writes the word; else it stays."""
    config = {"Used": tables.share("Used", "of the budget"), "Name": None}
    known = [{"Used": 0.5, "Name": "a"}, {"Used": 0.0, "Name": "b"}]
    assert tables.with_unknowns(config, known) == config
    found = tables.with_unknowns(config, [*known, {"Used": None, "Name": "c"}])
    assert found["Used"]["type_config"] == {**found["Used"]["type_config"], "type": "number"}
    assert found["Used"]["type_config"]["format"] == "percent"
    assert (found["Used"]["label"], found["Used"]["help"]) == ("Used", "of the budget")
    assert found["Name"] is None
