"""Makes bundle.zip: a graph of 14 nodes over the shop's real events, with what Python answers to 200 of them.

    pip install ./models/python scikit-learn skl2onnx
    node models/luma/graph/questions.ts > questions.jsonl
    python models/luma/graph/make_bundle.py questions.jsonl models/luma/graph/bundle.zip
"""

import json
import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression

from rtml.bundle import _zip, expected_of
from rtml.hashing import sha256
from rtml.models import load_model
from rtml.plan import Plan

HERE = Path(__file__).parent
questions = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
features = list(questions[0]["profile"]["features"])
propensity = (HERE.parent / "propensity.onnx").read_bytes()
model = load_model(propensity)
[features_input] = [port.name for port in model.inputs]


def col(name):
    return {"col": name}


def lit(value):
    return {"lit": value}


def fn(name, *args):
    return {"fn": name, "args": list(args)}


BUCKETS = ["now", "today", "week", "never"]
HOT = [f"added_{name}" for name in BUCKETS]
SECOND = [*HOT, "page_length", "is_cart", "spend"]


def node(name, op, **params):
    return {"id": name, "op": op, "params": params}


def document(second):
    nodes = [
        node("profile", "profile", columns=[{"name": f, "type": "float32", "feature": f} for f in features]),
        node(
            "event",
            "event",
            columns=[
                {"name": "page", "type": "string", "path": "web.webPageDetails.name"},
                {"name": "price", "type": "float64", "path": "productListItems[*].priceTotal", "reduce": "sum"},
                {"name": "items", "type": "int64", "path": "productListItems[*]", "reduce": "count"},
                {"name": "at", "type": "string", "path": "timestamp"},
            ],
        ),
        node("together", "join", how="inner"),
        node("whole", "fill", values={"page": "none", "price": 0}),
        node("people", "filter", where=fn("lt", col("events_1h"), lit(60))),
        node("since", "bin", column="since_add", as_=None),
        node("bucket", "onehot", column="added", categories=BUCKETS, names=HOT, keep=True),
        node("length", "compute", expr=fn("min", fn("div", fn("length", col("page")), lit(10)), lit(5)), **{"as": "page_length"}),
        node("cart", "compute", expr=fn("where", fn("contains", fn("lower", col("page")), lit("cart")), lit(1), lit(0)), **{"as": "is_cart"}),
        node("spend", "compute", expr=fn("log1p", fn("max", col("price"), lit(0))), **{"as": "spend"}),
        node("hour", "compute", expr=fn("hour", fn("epochms", col("at"))), **{"as": "hour"}),
        node(
            "propensity",
            "onnx",
            model=sha256(propensity),
            inputs=[{"name": features_input, "columns": features}],
            outputs=[{"as": "p", "output": "probabilities", "index": 1, "type": "float32"}],
        ),
        *(
            [
                node(
                    "second",
                    "onnx",
                    model=sha256(second),
                    inputs=[{"name": "features", "columns": SECOND}],
                    outputs=[{"as": "q", "output": "probabilities", "index": 1, "type": "float32"}],
                ),
                node(
                    "final",
                    "compute",
                    expr=fn("clip", fn("add", fn("mul", lit(0.8), col("p")), fn("mul", lit(0.2), col("q"))), lit(0), lit(1)),
                    **{"as": "final"},
                ),
                {
                    "id": "write",
                    "op": "profile-write",
                    "params": {"scores": {"engaged": "q"}, "attributes": {"luma.lastAdd": "added"}},
                },
            ]
            if second
            else []
        ),
    ]
    nodes[5]["params"] = {
        "column": "since_add",
        "as": "added",
        "edges": ["-Infinity", 3600, 86400, 604800, "Infinity"],
        "labels": BUCKETS,
    }
    chain = [entry["id"] for entry in nodes[2:]]
    edges = [
        {"from": "profile", "to": "together", "port": "left"},
        {"from": "event", "to": "together", "port": "right"},
        *({"from": a, "to": b} for a, b in zip(chain, chain[1:])),
    ]
    last = chain[-1]
    output = {"node": last, "columns": ["final", "p", "added", "hour"], "score": "final"} if second else {"node": last, "columns": ["p", *SECOND]}
    return {"format": "rtml-graph", "version": 1, "name": "luma_mix", "nodes": nodes, "edges": edges, "output": output}


def trained():
    """A second model on what the first nodes make: does the visitor look engaged? Its label is a rule; the point is the graph."""
    answers = [answer.output for answer in Plan(document(None), {sha256(propensity): model}).run(questions)]
    rows = [row for row in answers if row is not None]
    x = np.array([[row[name] for name in SECOND] for row in rows], dtype=np.float32)
    y = np.array([row["p"] > np.median([r["p"] for r in rows]) for row in rows])
    fitted = LogisticRegression(max_iter=1000).fit(x, y)
    return to_onnx(
        fitted,
        initial_types=[("features", FloatTensorType([None, len(SECOND)]))],
        target_opset={"": 17, "ai.onnx.ml": 3},
        options={"zipmap": False},
    ).SerializeToString()


second = trained()
contents = {sha256(propensity): propensity, sha256(second): second}
graph = document(second)
answers = Plan(graph, {name: load_model(content) for name, content in contents.items()}).run(questions)


def lines(values):
    return "".join(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" for value in values).encode()


Path(sys.argv[2]).write_bytes(
    _zip(
        {
            "graph.json": json.dumps(graph, indent=1).encode(),
            "tests/input.jsonl": lines(questions),
            "tests/expected.jsonl": lines([expected_of(answer) for answer in answers]),
            "provenance.json": json.dumps({"created": "2026-11-25T00:00:00Z", "notes": "models/luma/graph/make_bundle.py"}).encode(),
            **{f"models/{name}.onnx": content for name, content in contents.items()},
        }
    )
)
print(len(answers), "answers,", sum(answer.output is None for answer in answers), "filtered")
