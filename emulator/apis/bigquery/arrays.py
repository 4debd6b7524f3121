"""Subqueries over one array column, as functions of lists: what DuckDB would join it maps instead.

`(SELECT l.value FROM UNNEST(labels) AS l WHERE l.key = 'k' LIMIT 1)` is the usual way to read a
label of the billing export. As a correlated subquery it costs twenty times what the rest of a
month's query costs (measured); as a list function nearly nothing. What does not fit stays.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

_AGGREGATES: Final[dict[type[exp.Expression], str]] = {
    exp.Sum: "LIST_SUM", exp.Min: "LIST_MIN", exp.Max: "LIST_MAX", exp.Avg: "LIST_AVG",
}  # fmt: skip
_PLAIN: Final = {"expressions", "from_", "from", "where", "limit", "kind", "operation_modifiers"}


def without_subqueries(node: exp.Expression) -> exp.Expression:
    """The node, or the list function that says the same; for `Expression.transform`."""
    if isinstance(node, exp.Exists) and isinstance(node.this, exp.Select):
        return _exists(node.this) or node
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select) and _is_scalar(node):
        return _scalar(node.this) or node
    return node


def _is_scalar(node: exp.Subquery) -> bool:
    return not node.alias and not isinstance(node.parent, exp.From | exp.Join | exp.In | exp.Any)


def _exists(query: exp.Select) -> exp.Expression | None:
    kept = _kept(query)
    if kept is None or query.args.get("limit"):
        return None
    count = exp.func("LEN", kept[0])
    return exp.func("COALESCE", exp.GT(this=count, expression=exp.Literal.number(0)), exp.false())


def _scalar(query: exp.Select) -> exp.Expression | None:
    kept = _kept(query)
    if kept is None or len(query.expressions) != 1:
        return None
    rows, name = kept
    wanted = query.expressions[0].unalias()
    limit = query.args.get("limit")
    if isinstance(wanted, exp.Count) and isinstance(wanted.this, exp.Star) and not limit:
        return exp.func("COALESCE", exp.func("LEN", rows), exp.Literal.number(0))
    function = _AGGREGATES.get(type(wanted))
    if function and not limit:
        return exp.func(function, _mapped(rows, name, wanted.this))
    if function or wanted.find(exp.AggFunc) or not (limit and limit.expression.name == "1"):
        return None
    first = exp.func("LIST_EXTRACT", rows, exp.Literal.number(1))
    if isinstance(wanted, exp.Column) and not wanted.table and wanted.name == name:
        return first
    return exp.func("LIST_EXTRACT", _mapped(rows, name, wanted), exp.Literal.number(1))


def _kept(query: exp.Select) -> tuple[exp.Expression, str] | None:
    """(the array less what WHERE drops, the element's name); None: it is another kind of query."""
    if any(value for key, value in query.args.items() if key not in _PLAIN):
        return None
    source = query.args.get("from_") or query.args.get("from")
    unnest = source.this if source else None
    if not isinstance(unnest, exp.Unnest) or len(unnest.expressions) != 1:
        return None
    alias, array = unnest.args.get("alias"), unnest.expressions[0]
    if unnest.args.get("offset") or alias is None or not isinstance(array, exp.Column | exp.Dot):
        return None
    names = [c.name for c in (*alias.columns, alias.this) if c is not None]
    if len(names) != 1 or not _only_of(query, names[0], array):
        return None
    where = query.args.get("where")
    if where is None:
        return array.copy(), names[0]
    test = _lambda(names[0], where.this)
    return exp.func("LIST_FILTER", array.copy(), test), names[0]


def _only_of(query: exp.Select, name: str, array: exp.Expression) -> bool:
    """Whether every name in the query says whose it is; a bare one may be a field or a column."""
    if any(q is not query for q in query.find_all(exp.Query)):
        return False
    inside = {id(c) for c in array.find_all(exp.Column)}
    return all(c.table or c.name == name for c in query.find_all(exp.Column) if id(c) not in inside)


def _mapped(rows: exp.Expression, name: str, wanted: exp.Expression) -> exp.Expression:
    return exp.func("LIST_TRANSFORM", rows, _lambda(name, wanted))


def _lambda(name: str, body: exp.Expression) -> exp.Lambda:
    return exp.Lambda(this=body.copy(), expressions=[exp.to_identifier(name)])
