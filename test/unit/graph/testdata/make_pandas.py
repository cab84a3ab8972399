"""Writes pandas.json: what pandas makes of each operator, for the test of the same operator in TypeScript.

    python -m venv v && v/bin/pip install pandas==3.1.1 && v/bin/python make_pandas.py > pandas.json

(made with pandas 3.1; the version is in the file)
"""

import json
import math

import numpy as np
import pandas as pd

NUMBERS = [3.0, -1.5, None, 0.0, 2.5, 1e6, 0.5, -2.0, 1.5, 7.25]
OTHERS = [2.0, 0.5, 1.0, 0.0, None, -3.0, 0.25, 2.0, -1.5, 0.5]
WHOLE = [4, 0, -7, 3, 10, 2, 1, -1, 5, 8]
TEXTS = ["Phone", None, "tablet", "", "  Desk top ", "PHONE", "straße", "phone\t", "a", "🦊 fox"]
TIMES = [
    "2020-05-01T10:30:15Z", "2020-02-29", "1969-12-31 23:59:59.999", None, "2021-13-01",
    "2024-12-31T23:00:00+05:30", "2000-01-01T00:00:00.123456Z", "1999-06-15 12:00", "nope", "2038-01-19T03:14:08Z",
]  # fmt: skip

frame = pd.DataFrame(
    {
        "x": pd.Series(NUMBERS, dtype="float64"),
        "y": pd.Series(OTHERS, dtype="float64"),
        "n": pd.Series(WHOLE, dtype="int64"),
        "t": pd.Series(TEXTS, dtype="object"),
        "when": pd.Series(TIMES, dtype="object"),
    }
)
x, y, n, t = frame.x, frame.y, frame.n, frame.t


def plain(values):
    def one(value):
        if value is None or value is pd.NA or value is pd.NaT:
            return None
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        if isinstance(value, str):
            return value
        value = float(value)
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else value

    return [one(value) for value in values]


def col(name):
    return {"col": name}


def lit(value):
    return {"lit": value}


def fn(name, *args):
    return {"fn": name, "args": list(args)}


with np.errstate(all="ignore"):
    times = pd.to_datetime(frame["when"], utc=True, errors="coerce", format="ISO8601")
    text = t.astype("str").where(t.notna(), None)
    expressions = [
        (fn("add", col("x"), col("y")), x + y),
        (fn("sub", col("x"), col("n")), x - n),
        (fn("mul", col("n"), lit(3)), n * 3),
        (fn("div", col("x"), col("y")), x / y),
        (fn("div", col("n"), lit(0)), n / 0),
        (fn("floordiv", col("x"), lit(2)), x // 2),
        (fn("mod", col("n"), lit(3)), n % 3),
        (fn("mod", col("n"), lit(-3)), n % -3),
        (fn("pow", col("y"), lit(2)), y**2),
        (fn("neg", col("x")), -x),
        (fn("abs", col("n")), n.abs()),
        (fn("sqrt", col("x")), np.sqrt(x)),
        (fn("exp", col("y")), np.exp(y)),
        (fn("log", col("x")), np.log(x)),
        (fn("log1p", col("x")), np.log1p(x)),
        (fn("floor", col("x")), np.floor(x)),
        (fn("ceil", col("x")), np.ceil(x)),
        (fn("round", col("x")), x.round()),
        (fn("min", col("x"), col("y")), np.minimum(x, y)),
        (fn("max", col("x"), col("y"), col("n")), np.maximum(np.maximum(x, y), n)),
        (fn("clip", col("x"), lit(-1), lit(2)), x.clip(-1, 2)),
        (fn("eq", col("x"), col("y")), x == y),
        (fn("ne", col("x"), col("y")), x != y),
        (fn("lt", col("x"), col("y")), x < y),
        (fn("ge", col("x"), lit(1.5)), x >= 1.5),
        (fn("eq", col("t"), lit("PHONE")), t == "PHONE"),
        (fn("isin", col("t"), lit("a"), lit("Phone")), t.isin(["a", "Phone"])),
        (fn("isin", col("n"), lit(4), lit(-7)), n.isin([4, -7])),
        (fn("isnull", col("x")), x.isna()),
        (fn("isnull", col("t")), t.isna()),
        (fn("and", fn("gt", col("x"), lit(0)), fn("gt", col("y"), lit(0))), (x > 0) & (y > 0)),
        (fn("or", fn("gt", col("x"), lit(2)), fn("gt", col("y"), lit(1))), (x > 2) | (y > 1)),
        (fn("not", fn("gt", col("x"), lit(0))), ~(x > 0)),
        (fn("where", fn("gt", col("x"), lit(0)), col("x"), col("y")), x.where(x > 0, y)),
        (fn("coalesce", col("x"), col("y"), lit(9)), x.fillna(y).fillna(9)),
        (fn("lower", col("t")), t.str.lower()),
        (fn("upper", col("t")), t.str.upper()),
        (fn("strip", col("t")), t.str.strip()),
        (fn("length", col("t")), t.str.len()),
        (fn("concat", col("t"), lit("-"), col("t")), t + "-" + t),
        (fn("contains", col("t"), lit("ho")), t.str.contains("ho", regex=False).fillna(False)),
        (fn("startswith", col("t"), lit("p")), t.str.startswith("p").fillna(False)),
        (fn("endswith", col("t"), lit("E")), t.str.endswith("E").fillna(False)),
        *[
            (fn(part, fn("epochms", col("when"))), getattr(times.dt, part))
            for part in ("year", "month", "day", "hour", "minute", "second", "dayofweek")
        ],
        (fn("epochms", col("when")), (times - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1)),
    ]

edges = [-2, 0, 0.5, 2.5, 7.25]  # values lie on each edge, the outer ones too
labels = ["a", "b", "c", "d"]
bins = [
    ({"edges": edges}, pd.cut(x, edges, labels=False)),
    ({"edges": edges, "right": False}, pd.cut(x, edges, labels=False, right=False)),
    ({"edges": edges, "includeLowest": True}, pd.cut(x, edges, labels=False, include_lowest=True)),
    ({"edges": edges, "right": False, "includeLowest": True}, pd.cut(x, edges, labels=False, right=False, include_lowest=True)),
    ({"edges": ["-Infinity", 0, "Infinity"]}, pd.cut(x, [-np.inf, 0, np.inf], labels=False)),
    ({"edges": edges, "labels": labels}, pd.cut(x, edges, labels=labels).astype("object")),
]

table = {"Phone": 1.0, "tablet": 2.5, "a": None}
categories = ["Phone", "tablet", "PHONE"]
dummies = pd.get_dummies(pd.Categorical(t, categories=categories), dtype="float32")
steps = [
    ({"op": "fill", "params": {"values": {"x": 5, "t": "none"}}}, {"x": x.fillna(5), "t": t.fillna("none")}),
    ({"op": "map", "params": {"column": "t", "as": "m", "type": "float64", "pairs": [[k, v] for k, v in table.items()]}}, {"m": t.map(table)}),
    (
        {"op": "onehot", "params": {"column": "t", "categories": categories, "names": [f"t_{c}" for c in categories]}},
        {f"t_{c}": dummies[c] for c in categories},
    ),
    ({"op": "cast", "params": {"columns": {"n": "float64", "x": "float32"}}}, {"n": n.astype("float64"), "x": x.astype("float32")}),
    ({"op": "cast", "params": {"columns": {"n": "string"}}}, {"n": n.astype("str").astype("object")}),
    ({"op": "cast", "params": {"columns": {"n": "bool"}}}, {"n": n.astype("bool")}),
    ({"op": "rename", "params": {"columns": {"x": "z"}}}, {"z": x, "y": y}),
    ({"op": "select", "params": {"columns": ["t", "n"]}}, {"t": t, "n": n}),
]

kept = frame[(x > 0) & t.notna()]
filtered = [bool(row in kept.index) for row in frame.index]

print(
    json.dumps(
        {
            "pandas": pd.__version__,
            "columns": {"x": plain(x), "y": plain(y), "n": WHOLE, "t": TEXTS, "when": TIMES},
            "expressions": [{"expr": expr, "expected": plain(values)} for expr, values in expressions],
            "bins": [{"params": params, "expected": plain(values)} for params, values in bins],
            "steps": [{"node": node, "expected": {name: plain(v) for name, v in made.items()}} for node, made in steps],
            "filter": {
                "where": fn("and", fn("gt", col("x"), lit(0)), fn("not", fn("isnull", col("t")))),
                "kept": filtered,
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
)
