"""What a Pandas node does in the notebook, pandas itself does; deployed, its steps must come to the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rtml import DataMsg, Graph, NodeError, Pandas
from rtml.frame import Frame
from rtml.ops import Context, Failures, run_bin

FRAME = pd.DataFrame(
    {
        "age": [18.0, 29.4, np.nan, 61.0, 45.5],
        "price": [9.99, -3.0, 120.25, np.nan, 0.0],
        "device": ["Desktop", "Mobile", None, "Tablet", "Mobile"],
        "when": [
            "2020-05-25T19:18:52Z",
            "2020-05-30T00:00:00Z",
            "2020-06-01T23:59:59Z",
            "2020-02-29T12:00:00Z",
            "2021-01-01T01:00:00Z",
        ],
        "vip": [True, False, True, False, True],
        "digits": ["1", "2.5", "x", None, " 7 "],
    }
)
INPUTS = {"age": "float64", "price": "float64", "device": "string", "when": "string", "vip": "bool", "digits": "string"}

CASES: list[dict[str, Any]] = [
    {
        "import": "map",
        "kwargs": {"arg": {"Desktop": 1, "Mobile": 0}, "na_action": 0},
        "inplace": True,
        "cols": "device",
    },
    {"import": "map", "kwargs": {"arg": {"Desktop": "d", "Mobile": "m"}}, "cols": "device"},
    {"import": "map", "kwargs": {"arg": {18.0: 1, 61: 2.5}}, "cols": "age", "as": "code"},
    {"import": "fillna", "kwargs": {"value": 35}, "cols": "age", "inplace": True},
    {"import": "fillna", "kwargs": {"value": "none"}, "cols": ["device", "digits"], "inplace": True},
    {"import": "fillna", "kwargs": {"value": 0}, "cols": "price"},
    {"import": "fillna", "kwargs": {"value": {"age": 1.5, "device": "?"}}},
    {"import": "replace", "kwargs": {"to_replace": {"Mobile": "Phone"}}, "cols": "device", "inplace": True},
    {"import": "replace", "kwargs": {"to_replace": 61.0, "value": 60.0}, "cols": "age", "inplace": True},
    {"import": "to_datetime", "cols": "when", "inplace": True},
    {"import": "hour", "cols": "when"},
    {"import": "dt.dayofweek", "cols": "when"},
    {"import": "dayofweek", "cols": "when", "as": "weekday"},
    {"import": "month", "cols": "when"},
    {"import": "str.lower", "cols": "device", "inplace": True},
    {"import": "upper", "cols": "device"},
    {"import": "str.len", "cols": "device"},
    {"import": "str.contains", "kwargs": {"pat": "o", "regex": False, "na": False}, "cols": "device"},
    {"import": "abs", "cols": "price"},
    {"import": "round", "cols": "price"},
    {"import": "round", "kwargs": {"decimals": 1}, "cols": "price"},
    {"import": "clip", "kwargs": {"lower": 0, "upper": 100}, "cols": "price", "inplace": True},
    {"import": "clip", "kwargs": {"upper": 50}, "cols": ["age", "price"]},
    {"import": "isna", "cols": "age"},
    {"import": "notnull", "cols": "device"},
    {"import": "isin", "kwargs": {"values": ["Mobile", "Tablet"]}, "cols": "device"},
    {"import": "between", "kwargs": {"left": 20, "right": 50}, "cols": "age"},
    {"import": "add", "kwargs": {"other": 1.5}, "cols": "age"},
    {"import": "floordiv", "kwargs": {"other": 7}, "cols": "price"},
    {"import": "mod", "kwargs": {"other": 7}, "cols": "price"},
    {"import": "gt", "kwargs": {"other": 20}, "cols": "age"},
    {"import": "pd.to_numeric", "kwargs": {"errors": "coerce"}, "cols": "digits"},
    {"import": "cut", "kwargs": {"bins": [0, 20, 40, 100], "labels": ["young", "mid", "old"]}, "cols": "age"},
    {"import": "cut", "kwargs": {"bins": [18, 40, math.inf], "labels": False, "right": False}, "cols": "age"},
    {"import": "cut", "kwargs": {"bins": [18, 45.5, 61], "labels": ["a", "b"], "include_lowest": True}, "cols": "age"},
    {
        "import": "cut",
        "kwargs": {"bins": [18, 45.5, 61], "labels": False, "right": False, "include_lowest": True},
        "cols": "age",
    },
    {"import": "eval", "kwargs": {"expr": "ratio = price / (age + 1)"}},
    {"import": "query", "kwargs": {"expr": "age > 20 and device == 'Mobile'"}},
    {"import": "dropna", "kwargs": {"subset": ["age", "device"]}},
    {"import": "dropna", "kwargs": {"subset": ["age", "price"], "how": "all"}},
    {"import": "rename", "kwargs": {"columns": {"age": "years", "device": "machine"}}},
    {"import": "drop", "kwargs": {"columns": ["digits", "vip"]}},
    {"import": "filter", "kwargs": {"items": ["price", "age"]}},
    {"import": "reindex", "kwargs": {"columns": ["age", "clicks"], "fill_value": 0}},
    {"import": "astype", "kwargs": {"dtype": "float32"}, "cols": "age", "inplace": True},
    {"import": "astype", "kwargs": {"dtype": {"vip": "float64"}}},
    {
        "import": "get_dummies",
        "kwargs": {"columns": ["device"], "dtype": float},
        "categories": {"device": ["Desktop", "Mobile", "Tablet"]},
    },
]


def identifier(params: dict[str, Any]) -> str:
    return f"{params['import']}-{params.get('kwargs', {})}"[:60]


def plain(value: Any) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.value / 1e6
    return float(value) if isinstance(value, (int, float, bool, np.number, np.bool_)) else value


@pytest.mark.parametrize("params", CASES, ids=identifier)
def test_steps_equal_pandas(params: dict[str, Any]) -> None:
    node = Pandas(params)
    wanted = node.process(DataMsg(data=FRAME)).data
    graph = Graph.chain("try", node, inputs=INPUTS)
    answers = graph.run(graph.questions(FRAME))
    kept = [i for i, answer in enumerate(answers) if answer.output is not None]
    assert kept == list(wanted.index)
    assert set(graph.document["output"]["columns"]) == set(wanted.columns)
    for name in wanted.columns:
        for row, value in zip(kept, wanted[name], strict=True):
            output = answers[row].output
            assert output is not None
            got = plain(output[name])
            expected = plain(value)
            assert got == pytest.approx(expected, rel=1e-6) if isinstance(expected, float) else got == expected, (
                name,
                row,
            )


def test_whole_numbers_are_cast_or_the_row_fails() -> None:
    graph = Graph.chain(
        "try",
        Pandas({"import": "astype", "kwargs": {"dtype": "int"}, "cols": "age", "inplace": True}),
        inputs={"age": "float64"},
    )
    first, second = graph.run([{"record": {"age": 18.9}}, {"record": {}}])
    assert first.output == {"age": 18}
    assert second.output is None
    assert second.failed is not None
    assert (second.failed.node, second.failed.column) == ("astype_age", "age")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"import": "apply", "kwargs": {"func": len}, "cols": "age"}, "functions can't be serialised"),
    ({"import": "map", "kwargs": {"arg": lambda x: x}, "cols": "age"}, "functions can't be serialised"),
    ({"import": "groupby", "cols": "age"}, "depends on other rows"),
    ({"import": "sort_values", "cols": "age"}, "depends on other rows"),
    ({"import": "cut", "kwargs": {"bins": 4, "labels": ["a"]}, "cols": "age"}, "list of edges"),
    ({"import": "str.contains", "kwargs": {"pat": "a.c"}, "cols": "device"}, "regex=False"),
    ({"import": "swapcase", "cols": "device"}, "not in the list"),
    ({"import": "fillna", "kwargs": {"method": "ffill"}, "cols": "age"}, "method='ffill'"),
    ({"import": "to_datetime", "kwargs": {"format": "%d.%m.%Y"}, "cols": "when"}, "only ISO dates"),
]


SHARED = json.loads((Path(__file__).parents[3] / "test/unit/graph/testdata/pandas.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", SHARED["bins"], ids=lambda case: json.dumps(case["params"]))
def test_bins_of_the_fixture_that_the_scorer_is_tested_with(case: dict[str, Any]) -> None:
    values = np.array([np.nan if it is None else it for it in SHARED["columns"]["x"]])
    frame = Frame({"x": "float64"}, {"x": values}, np.arange(len(values)))
    made = run_bin({"column": "x", "as": "z", **case["params"]}, {"in": frame}, Context({}, {}, (), Failures(), "bin"))
    assert [plain(it) for it in made.columns["z"]] == case["expected"]


@pytest.mark.parametrize(("params", "reason"), REFUSED, ids=[identifier(p) for p, _ in REFUSED])
def test_refuses_what_it_cannot_run(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(NodeError, match=reason) as caught:
        Graph.chain("try", Pandas(params, name="mine"), inputs=INPUTS)
    assert caught.value.node == "mine"
    assert caught.value.code == "NOT_SUPPORTED"


def test_dummies_take_their_categories_from_the_features_of_the_model(tmp_path: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    from rtml import ONNXNode, export_sklearn

    features = ["age", "device_Desktop", "device_Mobile", "weekday_0", "weekday_6"]
    x = np.random.default_rng(1).normal(size=(50, 5)).astype(np.float32)
    file = tmp_path / "model.onnx"
    file.write_bytes(export_sklearn(LogisticRegression().fit(x, x[:, 0] > 0), 5))
    dummies = Pandas({"import": "get_dummies", "kwargs": {"columns": ["device", "weekday"]}})
    graph = Graph.chain(
        "d",
        dummies,
        ONNXNode({"features": features, "model_path": str(file)}),
        inputs={"age": "float64", "device": "string", "weekday": "float64"},
    )
    hot = {
        node["params"]["column"]: node["params"]["categories"]
        for node in graph.document["nodes"]
        if node["op"] == "onehot"
    }
    assert hot == {"device": ["Desktop", "Mobile"], "weekday": [0, 6]}
    with pytest.raises(NodeError, match='categories of "device" are not known'):
        Graph.chain(
            "d", Pandas({"import": "get_dummies", "kwargs": {"columns": ["device"]}}), inputs={"device": "string"}
        )
