"""The steps of a graph: what each makes of its inputs' types, and how it is done on columns.

The TypeScript scorer does the same on the same JSON; docs/graph-format.md is the contract of both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .expressions import ExpressionError, columns_of, evaluate, type_of
from .frame import FLOATS, MAX_WHOLE, NUMBERS, NUMPY, Failures, Frame, Types, constant, fits, is_null, read_column
from .models import Model, Port, numpy_type
from .paths import read_path

SOURCES = ("input", "event", "profile")
SINKS = ("xdm", "profile-write")
PORTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SOURCES, ()),
    "join": ("left", "right"),
    "union": ("left", "right"),
}


class StepError(Exception):
    """What is wrong with a step; the graph adds which node it is."""

    def __init__(self, code: str, message: str, port: str = "in") -> None:
        self.code = code
        self.port = port
        super().__init__(message)


@dataclass
class Context:
    """What steps need besides frames. `questions` are the rows as they came: record, event, profile."""

    models: Mapping[str, Model]
    modules: Mapping[str, str]
    questions: Sequence[Mapping[str, Any]]
    failures: Failures
    node: str = ""


Check = Callable[[dict[str, Any], dict[str, Types], Context], Types]
Run = Callable[[dict[str, Any], dict[str, Frame], Context], Frame]


def ports_of(op: str) -> tuple[str, ...]:
    return PORTS.get(op, ("in",))


def need(types: Types, name: str, port: str = "in") -> str:
    if name not in types:
        raise StepError("MISSING_COLUMN", f'there is no column "{name}"{_nearest(name, types)}. {_have(types)}', port)
    return types[name]


def _nearest(name: str, types: Types) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, types, n=1)
    return f', did you mean "{near[0]}"?' if near else ""


def _have(types: Types) -> str:
    names = list(types)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"The frame has {shown or 'no columns'}."


# Sources


def check_source(params: dict[str, Any], _: dict[str, Types], __: Context) -> Types:
    types: Types = {}
    for column in params["columns"]:
        name, kind = column["name"], column["type"]
        if name in types:
            raise StepError("DUPLICATE_COLUMN", f'the column "{name}" stands there twice; remove one.')
        if "default" in column and not fits(column["default"], kind):
            raise StepError(
                "TYPE", f'the default {column["default"]!r} of "{name}" is no {kind}; give one of its type.'
            )
        if "path" in column and "[*]" in column["path"] and "reduce" not in column:
            raise StepError(
                "PATH",
                f'"{name}" has every element of {column["path"]}; say what to make of them: '
                "reduce: first, last, count, sum, mean, min or max.",
            )
        types[name] = kind
    return types


def run_source(read: Callable[[Mapping[str, Any], dict[str, Any]], Any]) -> Run:
    def run(params: dict[str, Any], _: dict[str, Frame], context: Context) -> Frame:
        rows = np.arange(len(context.questions))
        types: Types = {}
        columns: dict[str, np.ndarray] = {}
        bad: dict[str, np.ndarray] = {}
        for column in params["columns"]:
            name, kind = column["name"], column["type"]
            values = [read(question, column) for question in context.questions]
            columns[name], bad[name] = read_column(values, kind, column.get("default"))
            types[name] = kind
        frame = Frame(types, columns, rows)
        for name, marked in bad.items():
            still = marked[frame.rows]
            reason = f"the value is absent or no {types[name]}"
            frame = context.failures.drop(frame, still, context.node, name, reason)
        return frame

    return run


def read_record(question: Mapping[str, Any], column: dict[str, Any]) -> Any:
    return (question.get("record") or {}).get(column["name"])


def read_event(question: Mapping[str, Any], column: dict[str, Any]) -> Any:
    return read_path(question.get("event"), column["path"], column.get("reduce"))


def read_profile(question: Mapping[str, Any], column: dict[str, Any]) -> Any:
    profile = question.get("profile") or {}
    if "segment" in column:
        value = (profile.get("segments") or {}).get(column["segment"])
        return value in (True, 1, "realized", "existing")
    if "attribute" in column:
        return read_path(profile.get("attributes"), column["attribute"], None)
    kind = "feature" if "feature" in column else "score"
    return (profile.get(f"{kind}s") or {}).get(column[kind])


# Columns


def check_select(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    return {name: need(inputs["in"], name) for name in params["columns"]}


def run_select(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    frame = inputs["in"]
    return frame.replace(
        {n: frame.types[n] for n in params["columns"]}, {n: frame.columns[n] for n in params["columns"]}
    )


def check_rename(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    for old in params["columns"]:
        need(inputs["in"], old)
    types: Types = {}
    for old, kind in inputs["in"].items():
        name = params["columns"].get(old, old)
        if name in types:
            raise StepError(
                "DUPLICATE_COLUMN", f'two columns would be called "{name}"; choose another name or drop one.'
            )
        types[name] = kind
    return types


def run_rename(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    frame, names = inputs["in"], params["columns"]
    return frame.replace(
        {names.get(n, n): kind for n, kind in frame.types.items()},
        {names.get(n, n): v for n, v in frame.columns.items()},
    )


def check_fill(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    for name, value in params["values"].items():
        kind = need(inputs["in"], name)
        if not fits(value, kind) or (isinstance(value, bool) and kind != "bool"):
            raise StepError(
                "TYPE", f'{value!r} can\'t fill "{name}", which is {kind}; give a {kind} or cast the column first.'
            )
    return dict(inputs["in"])


def run_fill(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    frame = inputs["in"]
    columns = dict(frame.columns)
    for name, value in params["values"].items():
        values = columns[name].copy()
        values[is_null(values, frame.types[name])] = value
        columns[name] = values
    return frame.replace(dict(frame.types), columns)


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


def check_cast(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    types = dict(inputs["in"])
    for name, to in params["columns"].items():
        kind = need(types, name)
        if kind in FLOATS and to == "string":
            raise StepError(
                "TYPE", f'"{name}" is {kind}: the texts of fractions differ between languages. Cast to int64 first.'
            )
        if kind == "string" and to == "bool":
            raise StepError("TYPE", f'"{name}" is a text; compare it instead: {name} == "yes".')
        if params.get("invalid") == "null" and to in ("int64", "bool"):
            raise StepError(
                "TYPE", f'{to} has no null: invalid: null wants float64 or string as the target of "{name}".'
            )
        types[name] = to
    return types


def run_cast(params: dict[str, Any], inputs: dict[str, Frame], context: Context) -> Frame:
    frame = inputs["in"]
    types, columns = dict(frame.types), dict(frame.columns)
    failed: dict[str, np.ndarray] = {}
    for name, to in params["columns"].items():
        columns[name], bad = _cast(columns[name], types[name], to)
        types[name] = to
        if params.get("invalid", "fail") == "fail":
            failed[name] = bad
    return _drop(frame.replace(types, columns), failed, context, "the value has no counterpart in the new type")


def _drop(frame: Frame, failed: dict[str, np.ndarray], context: Context, reason: str) -> Frame:
    """Marks the rows of each column, in order, and takes them out."""
    marked = {name: set(frame.rows[bad].tolist()) for name, bad in failed.items()}
    for name, rows in marked.items():
        bad = np.fromiter((int(row) in rows for row in frame.rows), dtype=bool, count=len(frame.rows))
        frame = context.failures.drop(frame, bad, context.node, name, reason)
    return frame


def _cast(values: np.ndarray, kind: str, to: str) -> tuple[np.ndarray, np.ndarray]:
    none = np.zeros(len(values), dtype=bool)
    if kind == to:
        return values, none
    if kind == "string":
        pattern = _NUMBER if to in FLOATS else _WHOLE
        out = np.full(len(values), math.nan if to in FLOATS else 0, dtype=NUMPY[to])
        bad = none.copy()
        for i, text in enumerate(values):
            if text is None:
                bad[i] = to == "int64"
            elif not pattern.fullmatch(text.strip()):
                bad[i] = True
            elif to in FLOATS:
                out[i] = float(text)
            elif abs(int(text)) > MAX_WHOLE:
                bad[i] = True
            else:
                out[i] = int(text)
        return out, bad
    if to == "string":
        if kind == "bool":
            return np.array(["True" if value else "False" for value in values], dtype=object), none
        return np.array([str(int(value)) for value in values], dtype=object), none
    if to == "int64":
        bad = ~np.isfinite(values) if kind in FLOATS else none
        whole = np.trunc(np.where(bad, 0, values)).astype(np.float64)
        bad = bad | (np.abs(whole) > MAX_WHOLE)
        return np.where(bad, 0, whole).astype(np.int64), bad
    if to == "bool":
        bad = np.isnan(values) if kind in FLOATS else none
        return (values != 0) & ~bad, bad
    with np.errstate(over="ignore"):
        return values.astype(NUMPY[to]), none


def check_map(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    types = dict(inputs["in"])
    kind, to = need(types, params["column"]), params["type"]
    for key, value in params["pairs"]:
        if (kind == "string") != isinstance(key, str):
            raise StepError(
                "TYPE", f'"{params["column"]}" is {kind}, its table has the key {key!r}; write keys of its type.'
            )
        if not fits(value, to):
            raise StepError(
                "TYPE", f'the table gives {value!r} for {key!r}, "{params["as"]}" is {to}; write values of its type.'
            )
    for extra in ("otherwise", "null"):
        if extra in params and not fits(params[extra], to):
            raise StepError("TYPE", f"{extra}: {params[extra]!r} is no {to}; give one, or another type.")
    if params.get("keep") and kind != to:
        raise StepError("TYPE", f'keep leaves {kind} values in "{params["as"]}", which is {to}; use type: {kind}.')
    types[params["as"]] = to
    return types


def _key(value: Any) -> Any:
    return (
        ("b", bool(value)) if isinstance(value, (bool, np.bool_)) else value if isinstance(value, str) else float(value)
    )


def run_map(params: dict[str, Any], inputs: dict[str, Frame], context: Context) -> Frame:
    frame = inputs["in"]
    values, kind = frame.columns[params["column"]], frame.types[params["column"]]
    to = params["type"]
    table: dict[Any, Any] = {}
    for key, value in params["pairs"]:
        table.setdefault(_key(key), value)
    empty = is_null(values, kind)
    otherwise, null, keep = params.get("otherwise"), params.get("null"), params.get("keep", False)
    given: list[Any] = []
    for value, gone in zip(values.tolist(), empty, strict=True):
        if gone:
            given.append(null)
        else:
            key = _key(value)
            given.append(table.get(key, value if keep else otherwise))
    column, bad = read_column(given, to, None)
    types, columns = dict(frame.types), dict(frame.columns)
    types[params["as"]], columns[params["as"]] = to, column
    return context.failures.drop(
        frame.replace(types, columns),
        bad,
        context.node,
        params["as"],
        f"the table has nothing for the value, and {to} has no null",
    )


def check_compute(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    types = dict(inputs["in"])
    types[params["as"]] = _expression_type(params["expr"], types) or "float64"
    return types


def _expression_type(expr: dict[str, Any], types: Types) -> str | None:
    for name in columns_of(expr):
        need(types, name)
    try:
        return type_of(expr, types)
    except ExpressionError as error:
        raise StepError("EXPRESSION", f"{error}.") from None


def run_compute(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    frame = inputs["in"]
    values, kind = evaluate(params["expr"], frame)
    return frame.replace({**frame.types, params["as"]: kind}, {**frame.columns, params["as"]: values})


def check_filter(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    kind = _expression_type(params["where"], inputs["in"])
    if kind != "bool":
        raise StepError("EXPRESSION", f"the condition is {kind}, it must be a bool: compare it with something.")
    return dict(inputs["in"])


def run_filter(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    frame = inputs["in"]
    return frame.take(evaluate(params["where"], frame)[0].astype(bool))


def check_bin(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    types = dict(inputs["in"])
    if need(types, params["column"]) not in NUMBERS:
        raise StepError("TYPE", f'"{params["column"]}" is a text: intervals are of numbers. Cast it, or use map.')
    edges = [float(edge) for edge in params["edges"]]
    if any(not low < high for low, high in zip(edges, edges[1:], strict=False)):
        raise StepError("PARAMS", "edges must rise; sort them and remove doubles.")
    if "labels" in params and len(params["labels"]) != len(edges) - 1:
        raise StepError(
            "PARAMS", f"{len(edges)} edges make {len(edges) - 1} intervals, there are {len(params['labels'])} labels."
        )
    types[params["as"]] = "string" if "labels" in params else "float64"
    return types


def run_bin(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    frame = inputs["in"]
    values = frame.columns[params["column"]].astype(np.float64)
    edges = np.array([float(edge) for edge in params["edges"]])
    right = params.get("right", True)
    found = np.searchsorted(edges, values, side="left" if right else "right") - 1
    # As pandas: include_lowest closes the first interval on its left; with right=False it is closed there already.
    if right and params.get("includeLowest", False):
        found = np.where(values == edges[0], 0, found)
    outside = (found < 0) | (found > len(edges) - 2) | np.isnan(values)
    labels = params.get("labels")
    if labels is None:
        column: np.ndarray = np.where(outside, np.nan, found).astype(np.float64)
    else:
        column = np.array([None if out else labels[i] for i, out in zip(found, outside, strict=True)], dtype=object)
    kind = "float64" if labels is None else "string"
    return frame.replace({**frame.types, params["as"]: kind}, {**frame.columns, params["as"]: column})


def _onehot_names(params: dict[str, Any]) -> list[str]:
    return [*params["names"], *([params["other"]] if params.get("unknown") == "other" else [])]


def check_onehot(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    kind = need(inputs["in"], params["column"])
    if len(params["names"]) != len(params["categories"]):
        raise StepError(
            "PARAMS", f"{len(params['categories'])} categories have {len(params['names'])} names; give one each."
        )
    if params.get("unknown") == "other" and "other" not in params:
        raise StepError("PARAMS", "unknown: other wants `other`, the name of its column.")
    for category in params["categories"]:
        if (kind == "string") != isinstance(category, str):
            raise StepError(
                "TYPE",
                f'"{params["column"]}" is {kind}, the category {category!r} is not; write categories of its type.',
            )
    types: Types = {}
    for name, own in inputs["in"].items():
        if name != params["column"] or params.get("keep"):
            types[name] = own
        if name == params["column"]:
            for made in _onehot_names(params):
                if made in inputs["in"] and (made != params["column"] or params.get("keep")):
                    raise StepError("DUPLICATE_COLUMN", f'there already is a column "{made}"; rename or drop it first.')
                types[made] = "float32"
    return types


def run_onehot(params: dict[str, Any], inputs: dict[str, Frame], context: Context) -> Frame:
    frame = inputs["in"]
    values, kind = frame.columns[params["column"]], frame.types[params["column"]]
    empty = is_null(values, kind)
    keys = [None if gone else _key(value) for value, gone in zip(values.tolist(), empty, strict=True)]
    made = {
        name: np.array([1.0 if key == _key(category) else 0.0 for key in keys], dtype=np.float32)
        for name, category in zip(params["names"], params["categories"], strict=True)
    }
    known = {_key(category) for category in params["categories"]}
    unknown = np.array([key not in known for key in keys], dtype=bool)
    if params.get("unknown") == "other":
        made[params["other"]] = unknown.astype(np.float32)
    types = check_onehot(params, {"in": frame.types}, context)
    out = frame.replace(types, {name: made.get(name, frame.columns.get(name)) for name in types})  # type: ignore[misc]
    if params.get("unknown") == "fail":
        return context.failures.drop(out, unknown, context.node, params["column"], "the category is unknown")
    return out


# Branches


def check_join(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    for name, kind in inputs["right"].items():
        if name in inputs["left"]:
            raise StepError(
                "DUPLICATE_COLUMN", f'both sides have a column "{name}"; rename or drop it on one.', "right"
            )
        if params.get("how") == "left" and kind in ("int64", "bool"):
            raise StepError(
                "TYPE", f'"{name}" is {kind} and would be null for rows of the left only; cast it to float64.', "right"
            )
    return {**inputs["left"], **inputs["right"]}


def run_join(params: dict[str, Any], inputs: dict[str, Frame], _: Context) -> Frame:
    left, right = inputs["left"], inputs["right"]
    place = {int(row): i for i, row in enumerate(right.rows)}
    at = np.array([place.get(int(row), -1) for row in left.rows], dtype=np.int64)
    types = {**left.types, **right.types}
    if params.get("how", "inner") == "inner":
        found = at >= 0
        return Frame(
            types,
            {**{n: v[found] for n, v in left.columns.items()}, **{n: v[at[found]] for n, v in right.columns.items()}},
            left.rows[found],
        )
    columns = dict(left.columns)
    for name, values in right.columns.items():
        out = constant(None, right.types[name], len(at))
        out[at >= 0] = values[at[at >= 0]]
        columns[name] = out
    return Frame(types, columns, left.rows)


def check_union(_: dict[str, Any], inputs: dict[str, Types], __: Context) -> Types:
    left, right = inputs["left"], inputs["right"]
    for name in {**left, **right}:
        if name not in left or name not in right:
            side = "left" if name not in left else "right"
            raise StepError("MISSING_COLUMN", f'this side has no column "{name}"; both need the same columns.', side)
        if left[name] != right[name]:
            raise StepError("TYPE", f'"{name}" is {left[name]} on the left and {right[name]} here; cast one.', "right")
    return dict(left)


def run_union(_: dict[str, Any], inputs: dict[str, Frame], __: Context) -> Frame:
    left, right = inputs["left"], inputs["right"]
    more = ~np.isin(right.rows, left.rows)
    rows = np.concatenate([left.rows, right.rows[more]])
    order = np.argsort(rows, kind="stable")
    columns = {name: np.concatenate([left.columns[name], right.columns[name][more]])[order] for name in left.types}
    return Frame(dict(left.types), columns, rows[order])


# Models


def check_onnx(params: dict[str, Any], inputs: dict[str, Types], context: Context) -> Types:
    model = context.models.get(params["model"])
    if model is None:
        raise StepError("MODEL_UNKNOWN", f"the model {params['model'][:12]}… is not in the bundle.")
    ports = {port.name: port for port in model.inputs}
    for entry in params["inputs"]:
        _check_feed(entry, inputs["in"], ports)
    for name in ports:
        if all(entry["name"] != name for entry in params["inputs"]):
            raise StepError("MODEL_INPUT", f'the model wants an input "{name}" ({ports[name]}) that gets no columns.')
    types = dict(inputs["in"]) if params.get("keep", True) else {}
    outputs = {port.name: port for port in model.outputs}
    for entry in params["outputs"]:
        port = outputs.get(entry["output"])
        if port is None:
            raise StepError(
                "MODEL_OUTPUT", f'the model has no output "{entry["output"]}"; it has {_ports(model.outputs)}.'
            )
        if not port.is_tensor:
            raise StepError(
                "MODEL_OUTPUT", f'the output "{port.name}" is a {port.element}, no tensor. Export with zipmap: False.'
            )
        if port.width is not None and entry.get("index", 0) >= port.width:
            raise StepError(
                "MODEL_OUTPUT", f"the output {port} has no value at {entry['index']}; use 0 to {port.width - 1}."
            )
        wanted = {"float16": "float32", "int32": "int64"}.get(port.element, port.element)
        if entry["type"] != wanted and not (wanted == "float32" and entry["type"] == "float64"):
            raise StepError("TYPE", f'the output {port} is {wanted}, "{entry["as"]}" says {entry["type"]}; correct it.')
        types[entry["as"]] = entry["type"]
    return types


def _ports(ports: Sequence[Port]) -> str:
    return ", ".join(str(port) for port in ports)


def _check_feed(entry: dict[str, Any], types: Types, ports: Mapping[str, Port]) -> None:
    port = ports.get(entry["name"])
    if port is None:
        raise StepError(
            "MODEL_INPUT", f'the model has no input "{entry["name"]}"; it has {_ports(list(ports.values()))}.'
        )
    for name in entry["columns"]:
        kind = need(types, name)
        if (port.element == "string") != (kind == "string"):
            what = "texts" if port.element == "string" else "numbers"
            raise StepError(
                "TYPE",
                f'the input {port} takes {what}, the column "{name}" is {kind}; '
                + ("encode it first: map, OneHotEncoder or hash." if kind == "string" else "cast it to string."),
            )
    width = port.width
    if width is not None and len(entry["columns"]) != width:
        raise StepError(
            "MODEL_INPUT",
            f"the input {port} takes {width} columns a row, there are {len(entry['columns'])}. "
            "List as many as it was trained with, in that order.",
        )
    shape = entry.get("shape", [len(entry["columns"])])
    if math.prod(shape) != len(entry["columns"]):
        raise StepError(
            "MODEL_INPUT", f"shape {shape} is not {len(entry['columns'])} columns; make it multiply to that."
        )


def run_onnx(params: dict[str, Any], inputs: dict[str, Frame], context: Context) -> Frame:
    model = context.models[params["model"]]
    frame = _without_fractions(params, inputs["in"], model, context)
    ports = {port.name: port for port in model.inputs}
    count = len(frame.rows)
    feeds = {}
    for entry in params["inputs"]:
        columns = [frame.columns[name] for name in entry["columns"]]
        element = ports[entry["name"]].element
        if element == "string":
            columns = [np.array(["" if v is None else v for v in values], dtype=object) for values in columns]
        matrix = (
            np.stack(columns, axis=1).astype(numpy_type(element))
            if count
            else np.zeros((0, len(columns)), numpy_type(element))
        )
        feeds[entry["name"]] = matrix.reshape((count, *entry.get("shape", [len(columns)])))
    names = list(dict.fromkeys(entry["output"] for entry in params["outputs"]))
    if count:
        results = dict(zip(names, model.run(feeds, names), strict=True))
    else:
        results = {entry["output"]: np.zeros((0, entry.get("index", 0) + 1)) for entry in params["outputs"]}
    types = dict(frame.types) if params.get("keep", True) else {}
    made = dict(frame.columns) if params.get("keep", True) else {}
    for entry in params["outputs"]:
        flat = np.asarray(results[entry["output"]]).reshape(count, -1) if count else results[entry["output"]]
        made[entry["as"]] = flat[:, entry.get("index", 0)].astype(NUMPY[entry["type"]])
        types[entry["as"]] = entry["type"]
    return frame.replace(types, made)


def _without_fractions(params: dict[str, Any], frame: Frame, model: Model, context: Context) -> Frame:
    """Whole-number inputs are never rounded: a row with a fraction or a null there has failed."""
    elements = {port.name: port.element for port in model.inputs}
    for entry in params["inputs"]:
        if elements[entry["name"]] not in ("int64", "int32", "bool"):
            continue
        for name in entry["columns"]:
            values = frame.columns[name].astype(np.float64)
            bad = ~np.isfinite(values) | (values != np.trunc(values))
            frame = context.failures.drop(
                frame, bad, context.node, name, f"the model's {entry['name']} takes whole numbers"
            )
    return frame


# Custom modules


def check_custom(params: dict[str, Any], inputs: dict[str, Types], context: Context) -> Types:
    for name in params["inputs"]:
        need(inputs["in"], name)
    if params["module"] not in context.modules:
        raise StepError("MODULE_UNKNOWN", f"the module {params['module'][:12]}… is not in the bundle.")
    return {**inputs["in"], **{entry["name"]: entry["type"] for entry in params["outputs"]}}


def run_custom(params: dict[str, Any], inputs: dict[str, Frame], context: Context) -> Frame:
    from .javascript import call_module

    frame = inputs["in"]
    given = {name: (frame.columns[name], frame.types[name]) for name in params["inputs"]}
    try:
        answer = call_module(context.modules[params["module"]], given, len(frame.rows), params.get("timeoutMs", 20))
    except RuntimeError as error:
        return context.failures.drop(
            frame, np.ones(len(frame.rows), bool), context.node, params["outputs"][0]["name"], str(error)
        )
    types, columns = dict(frame.types), dict(frame.columns)
    failed: dict[str, np.ndarray] = {}
    for entry in params["outputs"]:
        name, kind = entry["name"], entry["type"]
        columns[name], failed[name] = read_column(answer.get(name, [None] * len(frame.rows)), kind, None)
        types[name] = kind
    return _drop(frame.replace(types, columns), failed, context, "the module's value is not of the declared type")


# Sinks


def check_xdm(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    for name in params["columns"].values():
        need(inputs["in"], name)
    return dict(inputs["in"])


def check_profile_write(params: dict[str, Any], inputs: dict[str, Types], _: Context) -> Types:
    for score, name in params.get("scores", {}).items():
        if need(inputs["in"], name) not in NUMBERS:
            raise StepError("TYPE", f'the score "{score}" is the text column "{name}"; scores are numbers.')
    for name in params.get("attributes", {}).values():
        need(inputs["in"], name)
    return dict(inputs["in"])


def run_pass(_: dict[str, Any], inputs: dict[str, Frame], __: Context) -> Frame:
    return inputs["in"]


OPS: dict[str, tuple[Check, Run]] = {
    "input": (check_source, run_source(read_record)),
    "event": (check_source, run_source(read_event)),
    "profile": (check_source, run_source(read_profile)),
    "select": (check_select, run_select),
    "rename": (check_rename, run_rename),
    "fill": (check_fill, run_fill),
    "cast": (check_cast, run_cast),
    "map": (check_map, run_map),
    "compute": (check_compute, run_compute),
    "filter": (check_filter, run_filter),
    "bin": (check_bin, run_bin),
    "onehot": (check_onehot, run_onehot),
    "join": (check_join, run_join),
    "union": (check_union, run_union),
    "onnx": (check_onnx, run_onnx),
    "custom": (check_custom, run_custom),
    "xdm": (check_xdm, run_pass),
    "profile-write": (check_profile_write, run_pass),
}
