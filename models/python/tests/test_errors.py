"""Each refusal names the node and port, and says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from rtml import (
    Custom,
    DataMsg,
    FieldOps,
    FieldTrans,
    Frame2XDM,
    Graph,
    Join,
    ModelUpload,
    NodeError,
    NumpyArrays,
    OneHotEncoder,
    ONNXNode,
    Pandas,
    Receiver,
    RTCPReader,
    RTCPWriter,
    ScikitLearn,
    Split,
    Union,
    XDM2Frame,
    export_sklearn,
    models,
)
from rtml.plan import Plan

NUMBERS = {"a": "float64", "b": "float64", "c": "float64"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    x = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    file = tmp_path_factory.mktemp("m") / "model.onnx"
    file.write_bytes(export_sklearn(LogisticRegression().fit(x, x[:, 0] > 0), 3))
    return str(file)


def identity(opset: int, ir: int, path: Path) -> str:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [None, 1])],
        [value("y", TensorProto.FLOAT, [None, 1])],
    )
    file = path / f"{opset}-{ir}.onnx"
    file.write_bytes(
        helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir).SerializeToString()
    )
    return str(file)


def onnx_node(model: str, **extra: Any) -> ONNXNode:
    return ONNXNode({"features": ["a", "b", "c"], "model_path": model, **extra}, name="score")


def cycle(model: str) -> Graph:
    first, second, third = (
        FieldOps({"fill": {"a": 0}}, name="first"),
        FieldOps({"fill": {"b": 0}}, name="second"),
        onnx_node(model),
    )
    return Graph("g", [first, second, third], [(first, second), (second, third), (third, first)], inputs=NUMBERS)


CASES: list[tuple[str, Callable[[str], Any], str, str, str | None, str]] = [
    (
        "wrong dtype",
        lambda m: Graph.chain("g", onnx_node(m), inputs={**NUMBERS, "b": "string"}),
        "TYPE",
        "score",
        "in",
        "encode it first",
    ),
    (
        "text in arithmetic",
        lambda m: Graph.chain(
            "g", FieldOps({"create": {"d": "a + s"}}, name="sum"), inputs={"a": "float64", "s": "string"}
        ),
        "EXPRESSION",
        "sum",
        "in",
        "wants numbers",
    ),
    (
        "missing column",
        lambda m: Graph.chain("g", onnx_node(m), inputs={"a": "float64", "b": "float64"}),
        "MISSING_COLUMN",
        "score",
        "in",
        "no node before it makes",
    ),
    (
        "missing in an expression",
        lambda m: Graph.chain("g", FieldOps({"create": {"d": "aa + b"}}, name="sum"), inputs=NUMBERS),
        "MISSING_COLUMN",
        "sum",
        "in",
        'did you mean "a"',
    ),
    ("cycle", cycle, "CYCLE", "first", None, "first → second → score → first"),
    (
        "too few columns",
        lambda m: Graph.chain("g", ONNXNode({"features": ["a", "b"], "model_path": m}, name="score"), inputs=NUMBERS),
        "MODEL_INPUT",
        "score",
        "in",
        "takes 3 columns",
    ),
    (
        "no such output",
        lambda m: Graph.chain("g", onnx_node(m, outputs={"s": "prob"}), inputs=NUMBERS),
        "MODEL_OUTPUT",
        "score",
        "in",
        "it has label",
    ),
    (
        "unconnected port",
        lambda m: Graph("g", [r := Receiver({"columns": NUMBERS}), j := Join(name="j")], [(r, j)]),
        "PORT",
        "j",
        "right",
        "connect a node",
    ),
    (
        "two edges in one port",
        lambda m: Graph(
            "g",
            [
                r := Receiver({"columns": NUMBERS}),
                s := Receiver({"columns": {"d": "float64"}}, name="s"),
                n := onnx_node(m),
            ],
            [(r, n), (s, n)],
        ),
        "PORT",
        "score",
        "in",
        "Join",
    ),
    (
        "edge to a source",
        lambda m: Graph(
            "g", [r := Receiver({"columns": NUMBERS}), s := Receiver({"columns": {"d": "float64"}}, name="s")], [(r, s)]
        ),
        "PORT",
        "s",
        "in",
        "it is a source",
    ),
    (
        "both sides of a join",
        lambda m: Graph(
            "g",
            [r := Receiver({"columns": NUMBERS}), f := FieldOps({"fill": {"a": 0}}), j := Join(name="j")],
            [(r, j), (r, f), (f, j)],
        ),
        "DUPLICATE_COLUMN",
        "j",
        "right",
        "rename or drop",
    ),
    (
        "union of other columns",
        lambda m: Graph(
            "g",
            [r := Receiver({"columns": NUMBERS}), f := FieldOps({"drop": ["a"]}), u := Union(name="u")],
            [(r, u), (r, f), (f, u)],
        ),
        "MISSING_COLUMN",
        "u",
        "right",
        "same columns",
    ),
    (
        "two ends",
        lambda m: Graph(
            "g",
            [
                r := Receiver({"columns": NUMBERS}),
                f := FieldOps({"drop": ["a"]}, name="one"),
                h := FieldOps({"drop": ["b"]}, name="two"),
            ],
            [(r, f), (r, h)],
        ),
        "UNUSED",
        "one",
        None,
        "Join them",
    ),
    (
        "split deployed",
        lambda m: Graph.chain("g", Split({"train_size": 0.5}, name="halves"), onnx_node(m), inputs=NUMBERS),
        "AUTHORING_ONLY",
        "halves",
        None,
        "Take it out",
    ),
    (
        "encoder without categories",
        lambda m: Graph.chain("g", OneHotEncoder({"cols": "s"}, name="enc"), inputs={"s": "string"}),
        "CATEGORIES",
        "enc",
        None,
        "process a training frame",
    ),
    (
        "scaler without figures",
        lambda m: Graph.chain("g", FieldTrans({"columns": {"a": "standardize"}}, name="z"), inputs=NUMBERS),
        "NOT_FITTED",
        "z",
        None,
        "process a training frame",
    ),
    (
        "drop of nothing",
        lambda m: Graph.chain("g", FieldOps({"drop": ["zz"]}, name="d"), inputs=NUMBERS),
        "MISSING_COLUMN",
        "d",
        "in",
        "zz",
    ),
    (
        "score is a text",
        lambda m: Graph.chain(
            "g", FieldOps({"create": {"t": "'x'"}}, name="t"), inputs=NUMBERS, output=["t"], score="t"
        ),
        "TYPE",
        "t",
        None,
        "must be a number",
    ),
    (
        "path with every element",
        lambda m: XDM2Frame({"columns": {"q": "items[*].q"}}, name="x"),
        "PATH",
        "x",
        None,
        "reduce",
    ),
    (
        "path that can't be written",
        lambda m: Frame2XDM({"columns": {"items[0].q": "a"}}, name="x"),
        "PATH",
        "x",
        None,
        "only names",
    ),
    (
        "writer of text scores",
        lambda m: Graph.chain("g", RTCPWriter({"scores": {"s": "t"}}, name="w"), inputs={"t": "string"}),
        "TYPE",
        "w",
        "in",
        "scores are numbers",
    ),
    ("reader of nothing", lambda m: RTCPReader({}, name="r"), "PARAMS", "r", None, "give features"),
    (
        "tensor too small",
        lambda m: NumpyArrays({"columns": ["a"], "shape": [2, 2]}, name="n"),
        "PARAMS",
        "n",
        None,
        "pad",
    ),
    ("unknown parameter", lambda m: Pandas({"import": "abs", "colums": "a"}, name="p"), "PARAMS", "p", None, "cols"),
    ("two custom kinds", lambda m: Custom({"inputs": ["a"]}, name="c"), "PARAMS", "c", None, "javascript"),
    (
        "branching operator",
        lambda m: Custom({"function": lambda a: 1 if a > 0 else 0, "inputs": ["a"]}, name="c"),
        "NOT_SUPPORTED",
        "c",
        None,
        "use where",
    ),
    (
        "math on a column",
        lambda m: Custom({"function": lambda a: np.sqrt(float(a)), "inputs": ["a"]}, name="c"),
        "NOT_SUPPORTED",
        "c",
        None,
        "whole columns|one number",
    ),
    (
        "unknown model",
        lambda m: Graph.chain("g", ONNXNode({"features": ["a"], "model_id": "0" * 64}, name="score"), inputs=NUMBERS),
        "MODEL_UNKNOWN",
        "score",
        None,
        "Upload it first",
    ),
    (
        "no file",
        lambda m: ModelUpload({"model_path": "/nowhere/model.onnx"}, name="up").process(None, 1),
        "MODEL_FILE",
        "up",
        None,
        "no file",
    ),
]


@pytest.mark.parametrize(
    ("make", "code", "node", "port", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_refusal(model: str, make: Callable[[str], Any], code: str, node: str, port: str | None, says: str) -> None:
    with pytest.raises(NodeError, match=says) as caught:
        make(model)
    assert (caught.value.code, caught.value.node, caught.value.port) == (code, node, port)
    assert str(caught.value).startswith(f'{code} node "{node}"')


def test_opset_too_new(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="opset 27 of ai.onnx, the runtime has up to 26.*target_opset") as caught:
        ModelUpload({"model_path": identity(27, 10, tmp_path)}, name="up").process(None, 1)
    assert (caught.value.code, caught.value.node) == ("MODEL_OPSET", "up")


def test_opset_too_old(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="begins at 7.*convert_version"):
        ModelUpload({"model_path": identity(5, 3, tmp_path)}).process(None, 1)


def test_a_newer_ir_version_is_written_down_again(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="IR version 14 became 10"):
        about = ModelUpload({"model_path": identity(17, 14, tmp_path)}).process(None, 1).model
    assert about["ir_version"] == 10
    with pytest.raises(NodeError, match="IR version 14, the runtime reads up to 13"):
        models.load_model(Path(identity(17, 14, tmp_path)).read_bytes())


def test_model_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MAX_MODEL_BYTES", 50)
    with pytest.raises(NodeError, match="at most 50 are taken. Quantise") as caught:
        ModelUpload({"model_path": identity(17, 8, tmp_path)}, name="big").process(None, 1)
    assert (caught.value.code, caught.value.node) == ("MODEL_SIZE", "big")


def test_not_an_onnx_file(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(NodeError, match="no ONNX file.*Git LFS") as caught:
        ModelUpload({"model_path": str(file)}).process(None, 1)
    assert caught.value.code == "MODEL_FILE"


def test_estimator_without_a_converter(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) % 3})
    node = ScikitLearn(
        {"features": ["a", "b"], "model_path": str(tmp_path / "m.onnx"), "params": {"model": "sklearn.cluster.DBSCAN"}},
        name="cluster",
    )
    with pytest.raises(NodeError, match="DBSCAN can't be converted to ONNX.*ONNXNode") as caught:
        node.process(DataMsg(data=frame))
    assert (caught.value.code, caught.value.node) == ("MODEL_ESTIMATOR", "cluster")
    unknown = ScikitLearn({"features": ["a"], "params": {"model": "sklearn.nothing.Model"}}, name="x")
    with pytest.raises(NodeError, match="can't be imported"):
        unknown.process(DataMsg(data=frame))


def test_training_on_texts_says_which_estimator(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ["x", "y"] * 5, "label": [0, 1] * 5})
    node = ScikitLearn(
        {
            "features": ["a"],
            "label": "label",
            "model_path": str(tmp_path / "m.onnx"),
            "params": {"model": "sklearn.linear_model.LogisticRegression"},
        },
        name="fit",
    )
    with pytest.raises(NodeError, match="LogisticRegression refused the frame") as caught:
        node.process(DataMsg(data=frame))
    assert (caught.value.code, caught.value.port) == ("TRAIN", "in")


def test_functions_in_a_dsl() -> None:
    node = Pandas({"import": "apply", "kwargs": {"func": lambda x: x + 1}, "cols": "a"}, name="plus one")
    with pytest.raises(NodeError, match="Functions can't be serialised") as caught:
        node.to_dsl()
    assert (caught.value.code, caught.value.node) == ("SERIALISE", "plus one")


def test_a_message_without_a_column(model: str) -> None:
    with pytest.raises(NodeError, match='no column "b". The frame has a'):
        onnx_node(model).process(DataMsg(data=pd.DataFrame({"a": [1.0]})))
    with pytest.raises(NodeError, match="it got no frame"):
        onnx_node(model).process(None)


DOCUMENT: dict[str, Any] = {
    "format": "rtml-graph",
    "version": 1,
    "name": "g",
    "nodes": [
        {"id": "in", "op": "input", "params": {"columns": [{"name": "a", "type": "float64"}]}},
        {"id": "fill", "op": "fill", "params": {"values": {"a": 0}}},
    ],
    "edges": [{"from": "in", "to": "fill"}],
    "output": {"node": "fill", "columns": ["a"]},
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version"),
        ({"nodes": [{"id": "in", "op": "sort", "params": {}}]}, "no op 'sort'"),
        (
            {"nodes": [{"id": "in", "op": "input", "params": {"columns": [{"name": "a", "type": "int32"}]}}]},
            "nodes.0.params.columns.0.type",
        ),
        ({"nodes": [*DOCUMENT["nodes"], DOCUMENT["nodes"][0]]}, "two nodes have this id"),
        ({"edges": []}, "no edge ends here"),
        ({"edges": [{"from": "in", "to": "nowhere"}]}, "hasn't one of that name"),
        ({"output": {"node": "fill", "columns": ["b"]}}, 'wants the column "b"'),
        ({"output": {"node": "in", "columns": ["a"]}}, "nothing reads it"),
        (
            {"nodes": [DOCUMENT["nodes"][0], {"id": "fill", "op": "fill", "params": {"values": {"a": "x"}}}]},
            "can't fill",
        ),
    ],
)
def test_documents_are_checked(change: dict[str, Any], says: str) -> None:
    Plan(DOCUMENT, {})
    with pytest.raises(NodeError, match=says):
        Plan({**DOCUMENT, **change}, {})


def test_models_are_checked_by_the_runtime(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("NoSuchOp", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [None, 1])],
        [value("y", TensorProto.FLOAT, [None, 1])],
    )
    content = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    with pytest.raises(NodeError, match="can't load the model"):
        models.load_model(content)
    assert onnx.__version__
