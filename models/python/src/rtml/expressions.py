"""Expressions of a graph: read from Python-like text, checked for types, evaluated on columns.

`parse("age > 30 and device == 'phone'")` gives `{"fn": "and", "args": […]}`, the form of docs/graph-format.md.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from .frame import FLOATS, NUMBERS, Frame, Types, constant, is_null
from .hashing import murmur3

Expr = dict[str, Any]

MAX_DEPTH = 32
_BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.BitAnd: "and",
    ast.BitOr: "or",
}
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}

# name: (fewest, most arguments)
FUNCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "floordiv", "mod", "pow"), (2, 2)),
    **dict.fromkeys(("neg", "abs", "sqrt", "exp", "log", "log1p", "floor", "ceil", "round"), (1, 1)),
    **dict.fromkeys(("min", "max", "coalesce", "concat"), (2, 1000)),
    "clip": (3, 3),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), (2, 2)),
    "isin": (2, 1000),
    **dict.fromkeys(("and", "or"), (2, 1000)),
    **dict.fromkeys(("not", "isnull"), (1, 1)),
    "where": (3, 3),
    **dict.fromkeys(("lower", "upper", "strip", "length", "epochms"), (1, 1)),
    **dict.fromkeys(("contains", "startswith", "endswith", "hash"), (2, 2)),
    **dict.fromkeys(("year", "month", "day", "hour", "minute", "second", "dayofweek"), (1, 1)),
}
_METHODS = {
    "lower": "lower",
    "upper": "upper",
    "strip": "strip",
    "len": "length",
    "contains": "contains",
    "startswith": "startswith",
    "endswith": "endswith",
    "isin": "isin",
    "isna": "isnull",
    "isnull": "isnull",
    "abs": "abs",
    "clip": "clip",
    "round": "round",
    **dict.fromkeys(("year", "month", "day", "hour", "minute", "second", "dayofweek")),
}


class ExpressionError(ValueError):
    """The text is no expression, or its types don't fit."""


def parse(text: str) -> Expr:
    """Reads `price * quantity`, `clip(x, 0, 1)`, `a if b > 1 else c`, `city in ['Basel', 'Bern']`, `` `two words` + 1 ``."""
    quoted: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quoted.append(match[1])
        return f"_quoted_{len(quoted) - 1}_"

    try:
        tree = ast.parse(re.sub(r"`([^`]+)`", keep, text.strip()), mode="eval")
    except SyntaxError as error:
        raise ExpressionError(f"{text!r} is no expression: {error.msg}") from None
    return _read(tree.body, quoted, text)


def _read(node: ast.expr, quoted: Sequence[str], text: str) -> Expr:
    def again(child: ast.expr) -> Expr:
        return _read(child, quoted, text)

    def refuse(what: str) -> ExpressionError:
        return ExpressionError(f"{text!r}: {what}")

    match node:
        case ast.Name(id=name):
            hidden = re.fullmatch(r"_quoted_(\d+)_", name)
            return {"col": quoted[int(hidden[1])] if hidden else name}
        case ast.Constant(value=value) if value is None or isinstance(value, (bool, int, float, str)):
            return {"lit": value}
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if isinstance(value, (int, float)):
            return {"lit": -value}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return {"fn": "neg", "args": [again(operand)]}
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return {"fn": "not", "args": [again(operand)]}
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return again(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return {"fn": _BINARY[type(op)], "args": [again(left), again(right)]}
        case ast.BoolOp(op=op, values=values):
            return {"fn": "and" if isinstance(op, ast.And) else "or", "args": [again(value) for value in values]}
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return {"fn": "where", "args": [again(test), again(body), again(orelse)]}
        case ast.Compare(left=left, ops=ops, comparators=rights):
            parts = []
            for sign, right in zip(ops, rights, strict=True):
                parts.append(_comparison(left, sign, right, again, refuse))
                left = right
            return parts[0] if len(parts) == 1 else {"fn": "and", "args": parts}
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as name)], keywords=[]):
            return {"col": name}
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in FUNCTIONS:
                raise refuse(f"there is no function {name}; there are {', '.join(FUNCTIONS)}")
            return _call(name, [again(argument) for argument in args], refuse)
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=args, keywords=[]) if name in _METHODS:
            if isinstance(value, ast.Attribute) and value.attr in ("str", "dt"):
                value = value.value
            arguments = args[0].elts if name == "isin" and isinstance(args[0], (ast.List, ast.Tuple)) else args
            return _call(_METHODS[name] or name, [again(value), *(again(argument) for argument in arguments)], refuse)
        case ast.Attribute(value=ast.Attribute(value=value, attr="dt"), attr=name) if name in _METHODS:
            return _call(name, [again(value)], refuse)
    raise refuse(f"{ast.unparse(node)} can't be part of an expression")


def _comparison(
    left: ast.expr,
    op: ast.cmpop,
    right: ast.expr,
    again: Callable[[ast.expr], Expr],
    refuse: Callable[[str], Exception],
) -> Expr:
    if isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.List, ast.Tuple, ast.Set)):
        found: Expr = {"fn": "isin", "args": [again(left), *(again(item) for item in right.elts)]}
        return found if isinstance(op, ast.In) else {"fn": "not", "args": [found]}
    if isinstance(op, (ast.Is, ast.IsNot)) and isinstance(right, ast.Constant) and right.value is None:
        none: Expr = {"fn": "isnull", "args": [again(left)]}
        return none if isinstance(op, ast.Is) else {"fn": "not", "args": [none]}
    if type(op) not in _COMPARE:
        raise refuse(f"{ast.unparse(right)} can't be compared so; `in` wants a list of values")
    return {"fn": _COMPARE[type(op)], "args": [again(left), again(right)]}


def _call(name: str, args: list[Expr], refuse: Callable[[str], Exception]) -> Expr:
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(args) <= most:
        raise refuse(f"{name} takes {fewest if fewest == most else f'{fewest} or more'} arguments, not {len(args)}")
    return {"fn": name, "args": args}


def columns_of(expr: Expr) -> list[str]:
    """Names of the columns that an expression reads, each once."""
    if "col" in expr:
        return [expr["col"]]
    return list(dict.fromkeys(name for child in expr.get("args", []) for name in columns_of(child)))


def type_of(expr: Expr, types: Types, depth: int = 0) -> str | None:
    """The type of the result; None for a null that hasn't one of its own.

    @raises ExpressionError when a column is missing or a function gets what it can't take
    """
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the expression is more than {MAX_DEPTH} deep")
    if "col" in expr:
        if expr["col"] not in types:
            raise ExpressionError(f'there is no column "{expr["col"]}"; there are {_listed(types)}')
        return types[expr["col"]]
    if "lit" in expr:
        return _literal_type(expr["lit"])
    name, args = expr["fn"], expr["args"]
    if name not in FUNCTIONS or not FUNCTIONS[name][0] <= len(args) <= FUNCTIONS[name][1]:
        raise ExpressionError(f"{name} with {len(args)} arguments is no function")
    given = [type_of(arg, types, depth + 1) for arg in args]

    def need(indices: Sequence[int], allowed: Sequence[str], what: str) -> None:
        for i in indices:
            if given[i] is not None and given[i] not in allowed:
                raise ExpressionError(f"{name} wants {what}, its argument {i + 1} ({_show(args[i])}) is {given[i]}")

    every = range(len(given))
    if name in ("add", "sub", "mul"):
        need(every, NUMBERS, "numbers")
        return "int64" if all(kind in ("int64", "bool") for kind in given) else "float64"
    if name in ("neg", "abs"):
        need(every, NUMBERS, "a number")
        return "int64" if given[0] in ("int64", "bool") else "float64"
    if name in (
        "div",
        "floordiv",
        "mod",
        "pow",
        "sqrt",
        "exp",
        "log",
        "log1p",
        "floor",
        "ceil",
        "round",
        "min",
        "max",
        "clip",
    ):
        need(every, NUMBERS, "numbers")
        return "float64"
    if name in ("eq", "ne", "lt", "le", "gt", "ge", "isin"):
        kinds = {"string" if kind == "string" else "number" for kind in given if kind is not None}
        if len(kinds) > 1:
            raise ExpressionError(f"{name} compares texts with numbers: {_show(expr)}; cast one of them")
        if name == "isin" and any("lit" not in arg for arg in args[1:]):
            raise ExpressionError("isin wants literals after the first argument")
        return "bool"
    if name in ("and", "or", "not"):
        need(every, ("bool",), "bools")
        return "bool"
    if name == "isnull":
        return "bool"
    if name == "where":
        need([0], ("bool",), "a bool")
        return _common(name, given[1:])
    if name == "coalesce":
        common = _common(name, given)
        return "float64" if common == "float32" else common
    if name in ("lower", "upper", "strip"):
        need(every, ("string",), "a text")
        return "string"
    if name == "concat":
        need(every, ("string",), "texts")
        return "string"
    if name in ("length", "epochms"):
        need(every, ("string",), "a text")
        return "float64"
    if name in ("contains", "startswith", "endswith"):
        need(every, ("string",), "texts")
        if not isinstance(args[1].get("lit"), str):
            raise ExpressionError(f"{name} wants a literal text as its second argument")
        return "bool"
    if name == "hash":
        need([0], ("string",), "a text")
        buckets = args[1].get("lit")
        if not isinstance(buckets, int) or isinstance(buckets, bool) or buckets < 1:
            raise ExpressionError("hash wants a literal number of buckets, 1 or more")
        return "float64"
    need(every, NUMBERS, "milliseconds")
    return "float64"


def _common(name: str, given: Sequence[str | None]) -> str | None:
    kinds = [kind for kind in given if kind is not None]
    if not kinds:
        return None
    if "string" in kinds:
        if any(kind != "string" for kind in kinds):
            raise ExpressionError(
                f"{name} mixes texts with {next(k for k in kinds if k != 'string')}; cast one of them"
            )
        return "string"
    nulls = len(kinds) < len(given)
    if not nulls and len(set(kinds)) == 1:
        return kinds[0]
    if not nulls and set(kinds) <= {"int64", "bool"}:
        return "int64"
    return "float64"


def _literal_type(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "int64" if float(value).is_integer() else "float64"


def _listed(types: Types) -> str:
    names = list(types)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"


def _show(expr: Expr) -> str:
    if "col" in expr:
        return str(expr["col"])
    if "lit" in expr:
        return repr(expr["lit"])
    return f"{expr['fn']}({', '.join(_show(arg) for arg in expr['args'])})"


def evaluate(expr: Expr, frame: Frame) -> tuple[np.ndarray, str]:
    """A column of the frame's length and its type. The frame's types must have passed `type_of`."""
    kind = type_of(expr, frame.types) or "float64"
    count = len(frame.rows)
    if "col" in expr:
        return frame.columns[expr["col"]], kind
    if "lit" in expr:
        return constant(expr["lit"], kind, count), kind
    with np.errstate(all="ignore"):
        return _apply(expr["fn"], expr["args"], frame, kind), kind


def _apply(name: str, args: list[Expr], frame: Frame, kind: str) -> np.ndarray:
    if name in ("contains", "startswith", "endswith"):
        needle = args[1]["lit"]
        test = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}[name]
        return _texts(args[0], frame, lambda text: test(text, needle), False, np.bool_)
    if name == "hash":
        buckets = args[1]["lit"]
        return _texts(args[0], frame, lambda text: float(murmur3(text) % buckets), math.nan, np.float64)
    if name in ("lower", "upper", "strip"):
        return _texts(args[0], frame, lambda text: getattr(text, name)(), None, object)
    if name == "length":
        return _texts(args[0], frame, lambda text: float(len(text)), math.nan, np.float64)
    if name == "epochms":
        return _texts(args[0], frame, epoch_ms, math.nan, np.float64)
    given = [evaluate(arg, frame) for arg in args]
    if name == "isnull":
        return is_null(*given[0])
    if name == "not":
        return ~given[0][0].astype(bool)
    if name in ("and", "or"):
        return (np.logical_and if name == "and" else np.logical_or).reduce([values.astype(bool) for values, _ in given])
    if name in ("eq", "ne", "lt", "le", "gt", "ge"):
        return _compare(name, given)
    if name == "isin":
        return np.logical_or.reduce([_compare("eq", [given[0], other]) for other in given[1:]])
    if name == "where":
        return np.where(given[0][0].astype(bool), _as(given[1], kind), _as(given[2], kind))
    if name == "coalesce":
        out = _as(given[0], kind).copy()
        empty = is_null(*given[0])
        for values, own in given[1:]:
            out[empty] = _as((values, own), kind)[empty]
            empty = empty & is_null(values, own)
        return out
    if name == "concat":
        out = np.empty(len(frame.rows), dtype=object)
        for i, parts in enumerate(zip(*(values for values, _ in given), strict=True)):
            out[i] = None if None in parts else "".join(parts)
        return out
    return _arithmetic(name, [values.astype(np.float64) for values, _ in given], kind)


def _arithmetic(name: str, x: list[np.ndarray], kind: str) -> np.ndarray:
    a = x[0]
    b = x[1] if len(x) > 1 else a
    if name in ("year", "month", "day", "hour", "minute", "second", "dayofweek"):
        return _date_part(name, a)
    if name == "floordiv":
        result = np.where(b == 0, np.nan, np.floor(a / b))
    elif name == "mod":
        result = np.where(b == 0, np.nan, a - np.floor(a / b) * b)
    elif name == "clip":
        result = np.minimum(np.maximum(a, b), x[2])
    elif name in ("min", "max"):
        result = (np.minimum if name == "min" else np.maximum).reduce(x)
    else:
        result = _NUMERIC[name](a, b)
    return result.astype(np.int64) if kind == "int64" else result


_NUMERIC: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: np.power(a, b),
    "neg": lambda a, _: -a,
    "abs": lambda a, _: np.abs(a),
    "sqrt": lambda a, _: np.sqrt(a),
    "exp": lambda a, _: np.exp(a),
    "log": lambda a, _: np.log(a),
    "log1p": lambda a, _: np.log1p(a),
    "floor": lambda a, _: np.floor(a),
    "ceil": lambda a, _: np.ceil(a),
    "round": lambda a, _: np.round(a),
}


def _compare(name: str, given: Sequence[tuple[np.ndarray, str]]) -> np.ndarray:
    (a, kind_a), (b, kind_b) = given
    if kind_a != "string" or kind_b != "string":
        if "string" in (kind_a, kind_b):  # one side is a null without a type: equal to nothing
            return np.full(len(a), name == "ne")
        a, b = a.astype(np.float64), b.astype(np.float64)
        return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[name]
    order = {
        "eq": str.__eq__,
        "ne": str.__ne__,
        "lt": str.__lt__,
        "le": str.__le__,
        "gt": str.__gt__,
        "ge": str.__ge__,
    }[name]
    pairs = zip(a, b, strict=True)
    values = (name == "ne" if x is None or y is None else order(x, y) for x, y in pairs)
    return np.fromiter(values, dtype=bool, count=len(a))


def _as(given: tuple[np.ndarray, str], kind: str) -> np.ndarray:
    values, own = given
    if own == kind:
        return values
    if kind == "string":  # only a null has another type here
        return constant(None, "string", len(values))
    return values.astype({"float32": np.float32, "float64": np.float64, "int64": np.int64, "bool": np.bool_}[kind])


def _texts(arg: Expr, frame: Frame, change: Callable[[str], Any], null: Any, dtype: Any) -> np.ndarray:
    values, kind = evaluate(arg, frame)
    if kind in FLOATS:  # a literal null
        values = constant(None, "string", len(values))
    out = np.empty(len(values), dtype=dtype)
    out[:] = [null if value is None else change(value) for value in values]
    return out


_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s?(Z|z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


def epoch_ms(text: str) -> float:
    """Milliseconds since 1970 of RFC 3339 text and its shortenings, NaN of anything else; finer parts are cut."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return math.nan
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    ms = int((match[7] or "0").ljust(3, "0")[:3])
    try:
        instant = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp() * 1000 + ms
    except ValueError:
        return math.nan
    zone = match[8]
    if zone in (None, "Z", "z"):
        return instant
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return instant - (minutes if zone[0] == "+" else -minutes) * 60_000


def _date_part(name: str, ms: np.ndarray) -> np.ndarray:
    # Beyond the year 9999 a date has no agreed form: null there, on both sides.
    known = np.isfinite(ms) & (np.abs(ms) < 253_402_300_800_000)
    whole = np.where(known, np.floor(np.where(known, ms, 0)), 0).astype(np.int64)
    days = whole // 86_400_000
    in_day = whole - days * 86_400_000
    if name == "hour":
        part = in_day // 3_600_000
    elif name == "minute":
        part = in_day // 60_000 % 60
    elif name == "second":
        part = in_day // 1000 % 60
    elif name == "dayofweek":
        part = (days + 3) % 7
    else:
        dates = days.astype("datetime64[D]")
        months = dates.astype("datetime64[M]")
        if name == "day":
            part = (dates - months).astype(np.int64) + 1
        elif name == "month":
            part = months.astype(np.int64) % 12 + 1
        else:
            part = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    return np.where(known, part, np.nan).astype(np.float64)
