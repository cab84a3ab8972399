from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from rtml import (
    Custom,
    DataMsg,
    FieldOps,
    FieldTrans,
    Filter,
    Frame2XDM,
    Graph,
    GraphError,
    Join,
    JsonToDataframe,
    NodeError,
    NumpyArrays,
    OneHotEncoder,
    ONNXNode,
    Pandas,
    Processor,
    Receiver,
    RTCPReader,
    RTCPWriter,
    ScikitLearn,
    Simulator,
    Split,
    Union,
    XDM2Frame,
    export_sklearn,
    fn,
    operator,
    verify_bundle,
)
from rtml.engine import cli
from rtml.nodes import REGISTRY


def shop(rows: int = 300, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(42, 12, rows),
            "device": rng.choice(["phone", "desktop", "tablet"], rows),
            "price": rng.gamma(2.0, 20.0, rows),
        }
    )
    frame["bought"] = ((frame["price"] < 40) ^ (frame["device"] == "tablet")).astype(int)
    frame.loc[::17, "age"] = np.nan
    return frame


@pytest.fixture
def model(tmp_path: Path) -> str:
    x = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    file = tmp_path / "model.onnx"
    file.write_bytes(export_sklearn(LogisticRegression().fit(x, x[:, 0] > 0), 3))
    return str(file)


def test_a_graph_of_eight_nodes_equals_python(tmp_path: Path) -> None:
    frame = shop()
    fill = Pandas({"import": "fillna", "kwargs": {"value": 40}, "cols": "age", "inplace": True})
    ops = FieldOps({"create": {"log_price": "log1p(price)", "senior": "age > 60"}, "cast": {"senior": "float64"}})
    trans = FieldTrans({"columns": {"age": "standardize"}})
    encode = OneHotEncoder({"cols": "device", "unknown": "other"})
    msg = DataMsg(data=frame)
    for node in (fill, ops, trans, encode):
        msg = node.process(msg)
    features = ["age", "log_price", "senior", "device_desktop", "device_phone", "device_tablet", "device_other"]
    buy = ScikitLearn(
        {
            "features": features,
            "label": "bought",
            "model_path": str(tmp_path / "buy.onnx"),
            "params": {
                "model": "sklearn.ensemble.RandomForestClassifier",
                "model_params": {"n_estimators": 20, "random_state": 0},
            },
        }
    )
    spend = ScikitLearn(
        {
            "features": features[:2],
            "label": "price",
            "model_path": str(tmp_path / "spend.onnx"),
            "params": {"model": "sklearn.linear_model.LinearRegression"},
        }
    )
    buy.process(msg)
    spend.process(msg)
    total = FieldOps({"create": {"expected": "probabilities_1 * variable"}})
    graph = Graph.chain(
        "shop", fill, ops, trans, encode, buy, spend, total, output=["expected", "probabilities_1"], score="expected"
    )
    out = graph.process(frame)
    matrix = msg.data[features].to_numpy(np.float32)
    p = buy.estimator.predict_proba(matrix)[:, 1]
    assert np.abs(out["probabilities_1"] - p).max() < 1e-5
    assert np.abs(out["expected"] - p * spend.estimator.predict(matrix[:, :2])).max() < 1e-3
    assert len(graph.document["nodes"]) >= 8
    bundle = graph.bundle(tmp_path / "shop.rtml", tests=frame.head(50), data=frame, metrics={"auc": 0.9})
    assert verify_bundle(tmp_path / "shop.rtml") == 50
    assert bundle.provenance["data"]["rows"] == 300
    again = graph.bundle(tests=frame.head(50), data=frame, metrics={"auc": 0.9})
    with zipfile.ZipFile(BytesIO(bundle.content)) as one, zipfile.ZipFile(BytesIO(again.content)) as two:
        assert [one.read(n) for n in one.namelist() if n != "provenance.json"] == [
            two.read(n) for n in two.namelist() if n != "provenance.json"
        ]


def test_every_source_branch_and_sink(model: str) -> None:
    event = XDM2Frame(
        {
            "columns": {
                "total": "commerce.order.priceTotal",
                "sku": {"path": "productListItems[0].SKU", "type": "string"},
                "pieces": {"path": "productListItems[*].quantity", "type": "float64", "reduce": "sum"},
            }
        }
    )
    profile = RTCPReader(
        {
            "features": ["views_1h"],
            "scores": {"last": "propensity"},
            "segments": ["vip"],
            "attributes": {"plan": "_shop.plan"},
            "types": {"plan": "string"},
            "defaults": {"views_1h": 0, "last": 0.5},
        }
    )
    both = Join()
    cheap, dear = Filter({"where": "total < 100"}, name="cheap"), Filter({"where": "total >= 100"}, name="dear")
    low = FieldOps({"create": {"level": "0.0"}}, name="low")
    high = FieldOps({"create": {"level": "1.0"}}, name="high")
    level = Union()
    score = ONNXNode({"features": ["total", "views_1h", "level"], "model_path": model})
    xdm = Frame2XDM({"columns": {"propensity.value": "probabilities_1", "plan": "plan"}, "tenant": "_shop"})
    writer = RTCPWriter({"scores": {"propensity": "probabilities_1"}, "attributes": {"_shop.sku": "sku"}})
    graph = Graph(
        "all",
        [event, profile, both, cheap, dear, low, high, level, score, xdm, writer],
        [
            (event, both),
            (profile, both),
            (both, cheap),
            (both, dear),
            (cheap, low),
            (dear, high),
            (low, level),
            (high, level),
            (level, score),
            (score, xdm),
            (xdm, writer),
        ],
    )
    questions = [
        {
            "event": {
                "commerce": {"order": {"priceTotal": 40}},
                "productListItems": [{"SKU": "a", "quantity": 2}, {"quantity": 3}],
            },
            "profile": {
                "features": {"views_1h": 3},
                "scores": {"propensity": 0.25},
                "segments": {"vip": "realized"},
                "attributes": {"_shop": {"plan": "gold"}},
            },
        },
        {"event": {"commerce": {"order": {"priceTotal": 250.5}}}},
        {"event": {}, "profile": {}},
        {"event": {"commerce": {"order": {"priceTotal": "12"}}}},
    ]
    first, second, third, fourth = graph.run(questions)
    assert first.nodes["union"]["level"] == 0.0
    assert first.nodes["xdm2frame"] == {"total": 40.0, "sku": "a", "pieces": 5.0}
    assert first.nodes["rtcpreader"] == {"views_1h": 3.0, "last": 0.25, "vip": True, "plan": "gold"}
    assert first.output is not None
    assert first.xdm == {"_shop": {"propensity": {"value": first.output["probabilities_1"]}, "plan": "gold"}}
    assert first.scores == {"propensity": first.output["probabilities_1"]}
    assert first.attributes == {"_shop.sku": "a"}
    assert second.nodes["union"]["level"] == 1.0
    assert second.nodes["rtcpreader"] == {"views_1h": 0.0, "last": 0.5, "vip": False, "plan": None}
    assert third.output is None and third.failed is None  # no total: neither cheap nor dear
    assert fourth.failed is not None and (fourth.failed.node, fourth.failed.column) == ("xdm2frame", "total")
    picture = graph._repr_svg_()
    assert picture.count("<rect") == 11
    assert picture.count("marker-end") == 11


def test_a_tensor_of_the_last_events(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("ReduceSum", ["seq", "axes"], ["score"], keepdims=0)],
        "sum",
        [value("seq", TensorProto.FLOAT, [None, 3, 2])],
        [value("score", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path / "seq.onnx"
    onnx.save(made, str(file))
    arrays = NumpyArrays({"columns": ["a0", "b0", "a1", "b1"], "as": "seq", "shape": [3, 2], "pad": 0.0})
    node = ONNXNode({"inputs": {"seq": "seq"}, "model_path": str(file)})
    frame = pd.DataFrame({"a0": [1.0, 2.0], "b0": [10.0, np.nan], "a1": [3.0, 4.0], "b1": [30.0, 40.0]})
    graph = Graph.chain("seq", arrays, node)
    out = graph.process(frame)
    assert out.to_numpy().tolist() == [[4.0, 40.0], [6.0, 40.0]]
    assert (
        node.process(arrays.process(DataMsg(data=frame))).data[["score_0", "score_1"]].to_numpy().tolist()
        == out.to_numpy().tolist()
    )


def test_python_operators_are_traced() -> None:
    @operator
    def discount(price: Any, age: Any) -> Any:
        return {"rebate": fn.where(age > 60, price * 0.2, 0.0), "net": price - fn.where(age > 60, price * 0.2, 0.0)}

    frame = pd.DataFrame({"price": [100.0, 50.0], "age": [70.0, 30.0]})
    custom = Custom({"function": discount, "inputs": ["price", "age"]})
    out = custom.process(DataMsg(data=frame)).data
    assert out["net"].tolist() == [80.0, 50.0]
    graph = Graph.from_dsl(
        Graph.chain("c", Receiver({"columns": {"price": "float64", "age": "float64"}}), custom).to_dsl(), "again"
    )
    assert graph.process(frame)["rebate"].tolist() == [20.0, 0.0]
    named = Processor({"operator": "discount", "inputs": ["price", "age"]})
    assert named.process(DataMsg(data=frame)).data["net"].tolist() == [80.0, 50.0]


def test_numpy_in_an_operator_is_written_down_and_gives_what_numpy_gives() -> None:
    def shape(price: Any, age: Any) -> Any:
        young = np.logical_and(age < 26, np.logical_not(np.isnan(price)))
        return {
            "log": np.log1p(np.abs(price)) * np.float64(2),
            "net": np.where(young, np.multiply(price, 0.9), price),
            "bound": np.maximum(np.clip(price, 0, 50), np.float64(1) - age),
            "rest": np.remainder(price, 7) + np.floor(price) / 2,
        }

    rows = np.random.default_rng(3).normal(30, 40, size=(2, 200))
    frame = pd.DataFrame({"price": rows[0], "age": rows[1]})
    made = Custom({"function": shape, "inputs": ["price", "age"]}).process(DataMsg(data=frame)).data
    for name, wanted in shape(rows[0], rows[1]).items():
        np.testing.assert_allclose(made[name], wanted, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: np.cumsum(x), "numpy's cumsum isn't among the functions of one row"),
        (lambda x: np.add.reduce(x), r"numpy's add\.reduce isn't among"),
        (lambda x: np.fmax(x, 0), "numpy's fmax isn't among.*minimum, maximum"),
        (lambda x: np.clip(x, a_min=0, a_max=1), "is given a_min, a_max; give its values in order"),
        (lambda x: x @ np.ones(3), "numpy's matmul isn't among.*export an ONNX file for an ONNXNode"),
        (lambda x: x.mean(), r"it calls \.mean of a column.*Or write it in JavaScript"),
    ],
)
def test_python_that_is_no_expression_is_refused_with_a_way_out(function: Any, reason: str) -> None:
    with pytest.raises(NodeError, match=reason) as caught:
        Custom({"function": function, "inputs": ["x"]}, name="mine")
    assert (caught.value.node, caught.value.code) == ("mine", "NOT_SUPPORTED")


def test_javascript_operators_are_tried_in_a_notebook() -> None:
    source = "export default ({ price, name }, rows) => ({ even: price.map((p) => p % 2 === 0 ? 1 : 0), tag: name.map((n) => n === null ? null : n + '!') })"
    node = Custom({"javascript": source, "inputs": ["price", "name"], "outputs": {"even": "float64", "tag": "string"}})
    out = node.process(DataMsg(data=pd.DataFrame({"price": [2.0, 3.0], "name": ["a", None]}))).data
    assert out["even"].tolist() == [1.0, 0.0]
    assert out["tag"].tolist() == ["a!", None]
    broken = Custom(
        {"javascript": "export default () => { throw new Error('no') }", "inputs": ["x"], "outputs": {"y": "float64"}}
    )
    answer = Graph.chain("b", broken, inputs={"x": "float64"}).run([{"record": {"x": 1}}])[0]
    assert answer.output is None and answer.failed is not None and answer.failed.node == "custom"
    away = Custom(
        {"javascript": "export default () => ({ y: [process.pid] })", "inputs": ["x"], "outputs": {"y": "float64"}}
    )
    assert Graph.chain("b", away, inputs={"x": "float64"}).run([{"record": {"x": 1}}])[0].output is None


def test_typescript_operators_lose_their_types_and_run_in_the_scorer(tmp_path: Path) -> None:
    source = """type Columns = { readonly price: Float64Array; readonly name: readonly (string | null)[] }

export default function tag({ price, name }: Columns, rows: number): Record<string, ArrayLike<unknown>> {
  const tags: string[] = new Array<string>(rows)
  for (let i = 0; i < rows; i++) tags[i] = `${name[i] ?? 'nobody'}:${price[i] as number}`
  return { tag: tags, twice: price.map((it): number => it * 2) }
}
"""
    file = tmp_path / "tag.ts"
    file.write_text(source)
    rest: dict[str, Any] = {
        "inputs": ["price", "name"],
        "outputs": {"tag": "string", "twice": "float64"},
        "timeout_ms": 500,
    }
    frame = pd.DataFrame({"price": [2.0, 3.5], "name": ["a", None]})
    for node in (Custom({"typescript": source, **rest}), Custom({"file": file, **rest})):
        out = node.process(DataMsg(data=frame)).data
        assert (out["tag"].tolist(), out["twice"].tolist()) == (["a:2", "nobody:3.5"], [4.0, 7.0])
    graph = Graph.chain("typed", node, inputs={"price": "float64", "name": "string"})
    # Types became spaces: what an error says of line and column is true of the author's file.
    (module,) = graph.compiler.modules.values()
    assert [len(line) for line in module.split("\n")] == [len(line) for line in source.split("\n")]
    graph.bundle(tmp_path / "typed.zip", tests=frame)
    assert "2 rows equal" in cli("graph", "check", str(tmp_path / "typed.zip"))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"typescript": "enum A { b }\nexport default () => ({})"}, "enum is not supported.*Only types are taken off"),
        ({"typescript": "export default (a: ) => ({})"}, "can't be read: SyntaxError"),
        ({"file": "nowhere.ts"}, "nowhere.ts can't be read"),
        ({"file": "module.py"}, r"module.py is no module; its name ends with \.js"),
    ],
)
def test_modules_that_are_no_typescript_are_refused(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(NodeError, match=reason) as caught:
        Custom({**params, "inputs": ["x"], "outputs": {"y": "float64"}}, name="mine")
    assert (caught.value.node, caught.value.code) == ("mine", "PARAMS")


def test_split_trains_and_tests_apart(tmp_path: Path) -> None:
    frame = shop().dropna()
    msg = Split({"train_size": 0.7, "seed": 5}).process(DataMsg(data=frame))
    assert len(msg.data.xs("train")) == round(len(frame) * 0.7)
    assert not set(msg.data.xs("train").index) & set(msg.data.xs("test").index)
    params = {
        "features": ["age", "price"],
        "label": "bought",
        "model_path": str(tmp_path / "m" / "tree.onnx"),
        "params": {"model": "sklearn.tree.DecisionTreeClassifier", "model_params": {"max_depth": 4}},
    }
    trained = ScikitLearn({**params, "mode": "train"})
    trained.process(msg)
    tested = ScikitLearn({**params, "mode": "test"}).process(msg).data
    assert list(tested.index) == list(msg.data.xs("test").index)
    wanted = trained.estimator.predict(msg.data.xs("test")[["age", "price"]].to_numpy(np.float32))
    assert (tested["label"] == wanted).mean() > 0.99
    by_time = Split({"test_size": 0.25, "by_time": "at"}).process(
        DataMsg(data=pd.DataFrame({"at": ["2020-01-03", "2020-01-01", "2020-01-04", "2020-01-02"]}))
    )
    assert by_time.data.xs("test")["at"].tolist() == ["2020-01-04"]


def test_sources_give_frames_and_columns(tmp_path: Path) -> None:
    payload = json.dumps({"a": {0: 5.8, 10: 1.0, 2: None}, "b": {"0": "x", "2": None, "10": "y"}})
    node = JsonToDataframe(params={"json_payload": payload})
    assert node.process().data["b"].tolist() == ["x", None, "y"]
    assert node.source_columns() == [{"name": "a", "type": "float64"}, {"name": "b", "type": "string"}]
    made = Simulator({"columns": {"x": {"low": 1, "high": 2}, "c": {"choices": ["p", "q"]}}, "rows": 50, "seed": 9})
    assert made.process().data.equals(
        Simulator({"columns": made.params["columns"], "rows": 50, "seed": 9}).process().data
    )
    assert made.process().data["x"].between(1, 2).all()
    shop(20).to_csv(tmp_path / "shop.csv", index=False)
    file = Simulator({"path": str(tmp_path / "shop.csv"), "rows": 5})
    assert len(file.process().data) == 5
    assert {c["name"]: c["type"] for c in file.source_columns()} == {
        "age": "float64",
        "device": "string",
        "price": "float64",
        "bought": "float64",
    }
    events = [{"a": {"b": 2}, "l": [{"q": 1}, {"q": 4}]}, {"l": []}]
    read = XDM2Frame(
        {
            "columns": {
                "b": {"path": "a.b", "default": 7},
                "n": {"path": "l[*].q", "reduce": "count"},
                "m": {"path": "l[*].q", "reduce": "max"},
            }
        }
    )
    assert read.process(DataMsg(data=events)).data.fillna(-1).to_numpy().tolist() == [[2, 2, 4], [7, 0, -1]]
    profile = RTCPReader({"features": ["v"], "defaults": {"v": 3}})
    assert profile.process(DataMsg(profile=[{"features": {"v": 1}}, {}])).data["v"].tolist() == [1, 3]
    wrote = Frame2XDM({"columns": {"_t.x": "x"}}).process(DataMsg(data=pd.DataFrame({"x": [1.0, np.nan]})))
    assert wrote.xdm == [{"_t": {"x": 1.0}}, {}]
    kept = RTCPWriter({"scores": {"s": "x"}}).process(DataMsg(data=pd.DataFrame({"x": [0.5]})))
    assert kept.profile == [{"scores": {"s": 0.5}, "attributes": {}}]


def test_all_the_nodes_of_the_list_exist() -> None:
    wanted = [
        "Pandas",
        "ScikitLearn",
        "ONNXNode",
        "Split",
        "OneHotEncoder",
        "ModelUpload",
        "NumpyArrays",
        "RTCPReader",
        "RTCPWriter",
        "XDM2Frame",
        "Frame2XDM",
        "FieldOps",
        "FieldTrans",
        "Receiver",
        "Processor",
        "Simulator",
        "TensorFlow",
        "PyTorch",
        "Custom",
        "JsonToDataframe",
    ]
    assert set(wanted) <= set(REGISTRY)


def test_answers_do_not_depend_on_the_other_rows_of_the_batch(model: str) -> None:
    graph = Graph.chain(
        "one",
        Filter({"where": "total < 50 or isnull(total)"}),
        ONNXNode({"features": ["total", "b", "c"], "model_path": model}),
    )
    rng = np.random.default_rng(2)
    questions = [
        {"record": {"total": float(rng.uniform(0, 100)), "b": float(rng.normal()), "c": float(rng.normal())}}
        for _ in range(60)
    ]
    together = graph.run(questions)
    alone = [graph.run([question])[0] for question in questions]
    for one, other in zip(together, alone, strict=True):
        assert (one.output is None) == (other.output is None)
        if one.output is not None and other.output is not None:
            assert one.output["probabilities_1"] == pytest.approx(other.output["probabilities_1"], abs=1e-6)


def test_a_changed_bundle_is_refused(model: str) -> None:
    graph = Graph.chain("p", ONNXNode({"features": ["a", "b", "c"], "model_path": model}))
    content = graph.bundle(tests=[{"a": 1, "b": 2, "c": 3}]).content
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "tests/expected.jsonl":
                line = json.loads(data)
                line["nodes"]["onnxnode"]["probabilities_1"] += 0.1
                data = json.dumps(line).encode()
            new.writestr(name, data)
    with pytest.raises(GraphError, match='TESTS node "onnxnode": test 1: "probabilities_1"'):
        verify_bundle(out.getvalue())


def test_a_regressor_is_its_own_score(tmp_path: Path) -> None:
    file = tmp_path / "r.onnx"
    file.write_bytes(export_sklearn(LinearRegression().fit(np.eye(2, dtype=np.float32), [1.0, 2.0]), 2))
    graph = Graph.chain("r", ONNXNode({"features": ["a", "b"], "model_path": str(file)}))
    assert graph.document["output"] == {"node": "onnxnode", "columns": ["variable"], "score": "variable"}
