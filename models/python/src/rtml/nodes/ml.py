"""Models: ModelUpload, ONNXNode, ScikitLearn, TensorFlow, PyTorch. What is deployed is always ONNX."""

from __future__ import annotations

import importlib
import logging
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..compiler import Compiler
from ..errors import ModelError
from ..frame import FLOATS
from ..models import (
    EXPORT_IR_VERSION,
    EXPORT_OPSET,
    MAX_IR_VERSION,
    Model,
    ModelStore,
    Port,
    convert,
    load_model,
    numpy_type,
)
from .base import DataMsg, Node, as_list


def _class(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def read_model_file(node: Node, path: Any) -> bytes:
    """The bytes of a file, with an IR version that the runtime reads: newer `onnx` packages write a newer one for old opsets."""
    import onnx

    file = Path(str(path)).expanduser()
    if not file.is_file():
        raise ModelError("MODEL_FILE", node.label, f"there is no file {file}. Save the model there first.")
    content = file.read_bytes()
    try:
        proto = onnx.load_model_from_string(content)
    except Exception:
        return content
    if proto.ir_version > MAX_IR_VERSION:
        warnings.warn(
            f"{file}: IR version {proto.ir_version} became {EXPORT_IR_VERSION + 2}; its operators are the same",
            stacklevel=2,
        )
        proto.ir_version = EXPORT_IR_VERSION + 2
        return bytes(proto.SerializeToString())
    return content


class ModelUpload(Node):
    """Puts an ONNX file (`model_path`) into the model store; `process(None, 1).model["model_id"]` is the SHA-256 of its bytes."""

    module = "rtml_nodelibs.nodes.standard.ml.artifact_utils"
    ports = ()
    known = ("model_path",)
    required = ("model_path",)

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        content = read_model_file(self, self.params["model_path"])
        model = load_model(content, self.label)
        model_id = ModelStore().put(content)
        about = {
            "model_id": model_id,
            "inputs": [str(port) for port in model.inputs],
            "outputs": [str(port) for port in model.outputs],
            "opset": model.opset,
            "ir_version": model.ir_version,
        }
        return (msg or DataMsg()).replace(model=about)

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        raise self.error(
            "AUTHORING_ONLY",
            "it uploads a file and makes no columns. Take it out of the graph; ONNXNode names the model by its id.",
        )


class ONNXNode(Node):
    """Runs a model: `features` in the order of training, and `model_id` of ModelUpload (or `model_path`).

    Several inputs: `inputs` {input: columns or the name of a NumpyArrays tensor}. `outputs` {column: [output, index]}; by default
    every output: one column each value, `probabilities_<class>` where the classes are known. `score` names the column of the score.
    """

    module = "rtml_nodelibs.nodes.standard.ml.onnx"
    known: ClassVar[tuple[str, ...]] = (
        "features",
        "model_id",
        "model_path",
        "inputs",
        "outputs",
        "keep",
        "score",
        "classes",
    )

    def setup(self) -> None:
        if not self.params.get("model_id") and not self.params.get("model_path") and type(self) is ONNXNode:
            raise self.error("PARAMS", "it names no model; give model_id (of ModelUpload) or model_path.")

    def summary(self) -> str:
        return ", ".join(self.features())

    def content(self) -> bytes:
        if self.params.get("model_path"):
            return read_model_file(self, self.params["model_path"])
        return ModelStore().get(str(self.params["model_id"]), self.label)

    def model(self) -> Model:
        return load_model(self.content(), self.label)

    def features(self) -> list[str]:
        given = as_list(self.params.get("features"))
        for columns in (self.params.get("inputs") or {}).values():
            given += [] if isinstance(columns, str) else list(columns)
        return given

    def needs(self) -> dict[str, str]:
        elements = {}
        try:
            model = self.model()
            for entry in self.feeds(model, {}):
                kind = next(port.element for port in model.inputs if port.name == entry["name"])
                elements.update(dict.fromkeys(entry["columns"], "string" if kind == "string" else "float64"))
        except ModelError:
            raise
        return elements

    def feeds(self, model: Model, tensors: Mapping[str, tuple[list[str], list[int]]]) -> list[dict[str, Any]]:
        """Which columns go to which input of the model."""
        given = self.params.get("inputs")
        features = as_list(self.params.get("features"))
        ports = model.inputs
        if given is None:
            given = self._by_order(features, ports, tensors)
        entries = []
        known = {port.name: port for port in ports}
        for name, columns in given.items():
            if isinstance(columns, str) and columns in tensors:
                used, shape = tensors[columns]
                entries.append({"name": name, "columns": list(used), "shape": list(shape)})
                continue
            columns = as_list(columns)
            entry: dict[str, Any] = {"name": name, "columns": columns}
            port = known.get(name)
            if port is not None and len(port.shape) != 1 and port.width == len(columns):
                entry["shape"] = [int(size) for size in port.shape if size is not None]
            entries.append(entry)
        return entries

    def _by_order(self, features: list[str], ports: tuple[Port, ...], tensors: Mapping[str, Any]) -> dict[str, Any]:
        if not features and len(ports) == 1 and tensors:
            return {ports[0].name: next(iter(tensors))}
        if len(ports) == 1:
            if len(features) == 1 and features[0] in tensors:
                return {ports[0].name: features[0]}
            if not features:
                raise self.error(
                    "PARAMS", f"`features` is missing: the columns of {ports[0]}, in the order of training."
                )
            return {ports[0].name: features}
        names = [port.name for port in ports]
        if not features or set(names) == set(features):
            return {name: [name] for name in names}
        if all(port.width == 1 for port in ports) and len(features) == len(ports):
            return {name: [feature] for name, feature in zip(names, features, strict=True)}
        raise self.error(
            "MODEL_INPUT",
            f"the model has {len(ports)} inputs ({', '.join(map(str, ports))}), and {len(features)} features don't say which goes where. "
            "Give `inputs`: {input: [columns]}.",
        )

    def results(self, model: Model, feeds: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Which values of the model's outputs become which columns."""
        tensors = [port for port in model.outputs if port.is_tensor]
        kinds = {
            port.name: {"float16": "float32", "int32": "int64"}.get(port.element, port.element) for port in tensors
        }
        given = self.params.get("outputs")
        if given:
            entries = []
            for column, where in given.items():
                output, index = (where, 0) if isinstance(where, str) else (where[0], int(where[1]))
                entries.append({"as": column, "output": output, "index": index, "type": kinds.get(output, "float32")})
            return entries
        entries = []
        widths = self._widths(model, feeds)
        for port in tensors:
            width = widths[port.name]
            if width > 1024:
                raise self.error(
                    "MODEL_OUTPUT", f"the output {port} has {width} values a row; name those you want in `outputs`."
                )
            classes = port.classes or self.params.get("classes")
            for i in range(width):
                suffix = "" if width == 1 else f"_{_class(classes[i]) if classes and len(classes) == width else i}"
                entries.append(
                    {"as": f"{port.name}{suffix}", "output": port.name, "index": i, "type": kinds[port.name]}
                )
        return entries

    def _widths(self, model: Model, feeds: list[dict[str, Any]]) -> dict[str, int]:
        """Values a row of each output; where the file leaves it open, one row of zeros tells."""
        known = {port.name: port.width for port in model.outputs if port.is_tensor}
        if any(width is None for width in known.values()):
            elements = {port.name: port.element for port in model.inputs}
            row = {}
            for entry in feeds:
                shape = (1, *entry.get("shape", [len(entry["columns"])]))
                kind = elements.get(entry["name"], "float32")
                row[entry["name"]] = (
                    np.full(shape, "", dtype=object) if kind == "string" else np.zeros(shape, numpy_type(kind))
                )
            try:
                found = model.run(row, list(known))
            except Exception as error:
                raise self.error(
                    "MODEL_INPUT",
                    f"the model refused a row of {', '.join(map(str, model.inputs))}: {str(error).splitlines()[0]}",
                ) from None
            return {name: int(np.asarray(value).size) for name, value in zip(known, found, strict=True)}
        return {name: width or 1 for name, width in known.items()}

    def score_of(self, entries: list[dict[str, Any]]) -> str | None:
        """The column that is the score: as named, else the probability of the yes class, else the first float."""
        if "score" in self.params:
            return str(self.params["score"])
        columns = [entry["as"] for entry in entries]
        floats = [entry["as"] for entry in entries if entry["type"] in FLOATS]
        for yes in ("_1", "_True", "_yes"):
            found = [name for name in floats if name.endswith(yes)]
            if found and len(floats) == 2:
                return found[0]
        return floats[0] if floats else next((e["as"] for e in entries if e["type"] != "string"), columns[0])

    def makes(self) -> list[str]:
        model = self.model()
        return [entry["as"] for entry in self.results(model, self.feeds(model, {}))]

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        frame = self.frame_of(msg)
        assert msg is not None
        model = self.model()
        tensors: dict[str, tuple[list[str], list[int]]] = {
            name: ([], list(value.shape[1:])) for name, value in msg.tensors.items()
        }
        feeds = self.feeds(model, tensors)
        elements = {port.name: port.element for port in model.inputs}
        batch = {}
        for entry in feeds:
            name = entry["name"]
            tensor = next(
                (t for t in msg.tensors if not entry["columns"] and self._tensor_of(name, tensors) == t), None
            )
            if tensor is not None:
                batch[name] = msg.tensors[tensor].astype(numpy_type(elements[name]))
                continue
            parts = [
                self._array(self.column_of(frame, column), elements.get(name, "float32"), column)
                for column in entry["columns"]
            ]
            batch[name] = np.stack(parts, axis=1).reshape((len(frame), *entry.get("shape", [len(parts)])))
        entries = self.results(model, feeds)
        names = list(dict.fromkeys(entry["output"] for entry in entries))
        try:
            found = dict(zip(names, model.run(batch, names), strict=True))
        except Exception as error:
            raise self.error(
                "MODEL_INPUT", f"the model refused the frame: {str(error).splitlines()[0]}", port="in"
            ) from None
        out = frame.copy() if self.params.get("keep", True) else frame[[]].copy()
        for entry in entries:
            out[entry["as"]] = np.asarray(found[entry["output"]]).reshape(len(frame), -1)[:, entry["index"]]
        return msg.replace(data=out)

    def _tensor_of(self, name: str, tensors: Mapping[str, Any]) -> str | None:
        given = (self.params.get("inputs") or {}).get(name)
        if given is None:
            features = as_list(self.params.get("features"))
            given = features[0] if len(features) == 1 else next(iter(tensors), None) if not features else None
        return given if isinstance(given, str) and given in tensors else None

    def _array(self, series: Any, element: str, column: str) -> np.ndarray:
        if element == "string":
            return np.array(["" if v is None or v != v else str(v) for v in series], dtype=object)
        try:
            return np.asarray(series.to_numpy(dtype="float64", na_value=math.nan)).astype(numpy_type(element))
        except (TypeError, ValueError):
            raise self.error(
                "TYPE", f'the column "{column}" is no number; encode it first: map, OneHotEncoder or hash.', port="in"
            ) from None

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        model = compiler.add_model(self.content(), self.label)
        feeds = self.feeds(model, compiler.tensors)
        types = compiler.types(inputs["in"])
        for entry in feeds:
            for column in entry["columns"]:
                if column not in types:
                    have = ", ".join(list(types)[:20])
                    raise self.error(
                        "MISSING_COLUMN",
                        f'the model wants "{column}", which no node before it makes. The frame has {have}. Make it, or correct `features`.',
                        port="in",
                    )
        entries = self.results(model, feeds)
        params: dict[str, Any] = {"model": model.id, "inputs": feeds, "outputs": entries}
        if not self.params.get("keep", True):
            params["keep"] = False
        at = compiler.step("onnx", params, inputs)
        compiler.model_columns[at] = [entry["as"] for entry in entries]
        score = self.score_of(entries)
        if score is not None:
            compiler.score_columns[at] = score
        return at

    def to_dsl(self) -> dict[str, Any]:
        """A DSL is a text that travels: the model goes along by its id in the store, not by a path of this machine."""
        node = super().to_dsl()
        if node["params"].get("model_path"):
            node["params"].pop("model_path")
            node["params"]["model_id"] = ModelStore().put(self.content())
        return node


class ScikitLearn(ONNXNode):
    """Trains (`mode: train`) or applies (`mode: test`) an estimator and keeps it as ONNX at `model_path`.

    `params`: {"model": "sklearn.linear_model.LogisticRegression" or an estimator, "model_params": {…}}. After Split it trains on
    the rows of "train" and is applied to those of "test".
    """

    module = "rtml_nodelibs.nodes.standard.ml.scikitlearn"
    known = (*ONNXNode.known, "label", "mode", "params")

    def setup(self) -> None:
        if self.params.get("mode", "train") not in ("train", "test"):
            raise self.error("PARAMS", f"mode is {self.params['mode']!r}; it is train or test.")
        if not self.params.get("features"):
            raise self.error("PARAMS", "`features` is missing: the columns to train on.")
        self.params.setdefault("model_path", "model.onnx")
        self.estimator: Any = None

    @property
    def label_column(self) -> str | None:
        return self.params.get("label")

    def make(self) -> Any:
        """The unfitted estimator. @raises NodeError ESTIMATOR when the import path names none"""
        given = (self.params.get("params") or {}).get("model")
        settings = dict((self.params.get("params") or {}).get("model_params") or {})
        if given is None:
            raise self.error(
                "PARAMS", 'params.model is missing, for example "sklearn.linear_model.LogisticRegression".'
            )
        if not isinstance(given, str):
            return given.set_params(**settings) if settings else given
        module, _, name = given.rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)(**settings)
        except (ImportError, AttributeError, ValueError) as error:
            raise self.error(
                "ESTIMATOR", f"{given} can't be imported ({error}). Give an absolute import path."
            ) from None
        except TypeError as error:
            raise self.error("ESTIMATOR", f"{given} refused model_params: {error}.") from None

    def process(self, msg: DataMsg | None = None, *others: Any) -> DataMsg:
        frame = self.frame_of(msg)
        assert msg is not None
        split = frame.index.names[0] == "split"
        if self.params.get("mode", "train") == "train":
            self.train(frame.xs("train") if split else frame)
            return msg.replace(model=self._about())
        part = frame.xs("test") if split else frame
        return super().process(msg.replace(data=part)).replace(model=self._about())

    def train(self, frame: Any) -> Any:
        """Fits on a frame, writes the ONNX file, and returns the estimator."""
        features = as_list(self.params["features"])
        parts = [self.column_of(frame, name) for name in features]
        target = self.column_of(frame, self.label_column) if self.label_column else None
        texts = [name for name, part in zip(features, parts, strict=True) if part.dtype.kind not in "biuf"]
        estimator = self.make()
        try:
            if texts:
                table = frame[features].copy()
                for name in features:
                    if name not in texts:
                        table[name] = table[name].astype("float32")
                fitted = estimator.fit(table, target) if target is not None else estimator.fit(table)
            else:
                # float32 before training: the graph computes in float32, and a tree's x <= threshold must see the same x.
                matrix = frame[features].to_numpy(dtype=np.float32)
                fitted = estimator.fit(matrix, target) if target is not None else estimator.fit(matrix)
        except (TypeError, ValueError) as error:
            raise self.error(
                "TRAIN", f"{type(estimator).__name__} refused the frame: {str(error).splitlines()[0]}", port="in"
            ) from error
        self.estimator = fitted
        path = Path(self.params["model_path"]).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._export(fitted, features, texts))
        os.environ["ONNX_MODEL_PATH"] = str(path)
        return fitted

    def _export(self, fitted: Any, features: list[str], texts: list[str]) -> bytes:
        from skl2onnx.common.data_types import FloatTensorType, StringTensorType

        if texts:
            types = [(name, (StringTensorType if name in texts else FloatTensorType)([None, 1])) for name in features]
        else:
            types = [("features", FloatTensorType([None, len(features)]))]
        return convert(fitted, types, self.label)

    def _about(self) -> dict[str, Any]:
        return {
            "model_path": str(self.params["model_path"]),
            "estimator": type(self.estimator).__name__ if self.estimator else None,
        }

    def results(self, model: Model, feeds: list[dict[str, Any]]) -> list[dict[str, Any]]:
        classes = getattr(self.estimator, "classes_", None)
        if classes is not None and "classes" not in self.params:
            self.params["classes"] = [item.item() if hasattr(item, "item") else item for item in classes]
        return super().results(model, feeds)

    def to_dsl(self) -> dict[str, Any]:
        node = (
            super().to_dsl()
            if isinstance((self.params.get("params") or {}).get("model", ""), str)
            else self._plain().to_dsl()
        )
        return {
            **node,
            "id": self.id,
            "name": self.name,
            "type": "ONNXNode",
            "params": {k: v for k, v in node["params"].items() if k in ONNXNode.known},
        }

    def _plain(self) -> ONNXNode:
        return ONNXNode({key: value for key, value in self.params.items() if key in ONNXNode.known}, name=self.name)


class TensorFlow(ONNXNode):
    """A Keras model: `model` (or a saved ONNX `model_path`), `features` or `inputs`. Exported with tf2onnx when the node is made."""

    module = "rtml_nodelibs.nodes.standard.ml.tensorflow"
    known = (*ONNXNode.known, "model")

    def setup(self) -> None:
        model = self.params.pop("model", None)
        if model is not None:
            self.params["model_id"] = ModelStore().put(export_keras(model, self.label))
        elif not self.params.get("model_path") and not self.params.get("model_id"):
            raise self.error("PARAMS", "give `model` (a Keras model), or the model_path of its ONNX file.")


class PyTorch(ONNXNode):
    """A torch module: `model` and a `sample` input (or a saved ONNX `model_path`), `features` or `inputs`, `output_names`."""

    module = "rtml_nodelibs.nodes.standard.ml.pytorch"
    known = (*ONNXNode.known, "model", "sample", "input_names", "output_names")

    def setup(self) -> None:
        model, sample = self.params.pop("model", None), self.params.pop("sample", None)
        names, outputs = self.params.pop("input_names", None), self.params.pop("output_names", None)
        if model is not None:
            if sample is None:
                raise self.error(
                    "PARAMS", "`sample` is missing: one input (or a tuple of them) to trace the module with."
                )
            content = export_torch(model, sample, self.label, input_names=names, output_names=outputs)
            self.params["model_id"] = ModelStore().put(content)
        elif not self.params.get("model_path") and not self.params.get("model_id"):
            raise self.error("PARAMS", "give `model` and `sample`, or the model_path of its ONNX file.")


def export_keras(model: Any, node: str = "model") -> bytes:
    """@raises ModelError MODEL_ESTIMATOR when TensorFlow or tf2onnx is missing, or the model has an op without a counterpart"""
    try:
        import tensorflow as tf
        import tf2onnx
    except ImportError as error:
        raise ModelError(
            "MODEL_ESTIMATOR", node, f"{error}. Install the extra: pip install 'rtml[tensorflow]'."
        ) from None
    signature = [
        tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=str(tensor.name).split(":")[0])
        for tensor in model.inputs
    ]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def call(*tensors: Any) -> Any:
        return tf.identity(model(tensors[0] if len(tensors) == 1 else list(tensors), training=False), name="score")

    try:
        proto, _ = tf2onnx.convert.from_function(call, input_signature=signature, opset=EXPORT_OPSET[""])
    except Exception as error:
        raise ModelError(
            "MODEL_ESTIMATOR", node, f"tf2onnx can't convert the model: {str(error).splitlines()[0][:200]}"
        ) from None
    proto.ir_version = EXPORT_IR_VERSION
    if len(proto.graph.output) == 1:
        _rename_output(proto, proto.graph.output[0].name, "score")
    return bytes(proto.SerializeToString())


def _rename_output(proto: Any, old: str, new: str) -> None:
    for node in proto.graph.node:
        node.output[:] = [new if name == old else name for name in node.output]
        node.input[:] = [new if name == old else name for name in node.input]
    for value in proto.graph.output:
        if value.name == old:
            value.name = new


def export_torch(
    model: Any,
    sample: Any,
    node: str = "model",
    *,
    input_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> bytes:
    """@raises ModelError MODEL_ESTIMATOR when torch is missing, or the module has an operator without a counterpart"""
    import io

    try:
        import torch
    except ImportError as error:
        raise ModelError("MODEL_ESTIMATOR", node, f"{error}. Install the extra: pip install 'rtml[torch]'.") from None
    args = sample if isinstance(sample, tuple) else (sample,)
    names = input_names or (["features"] if len(args) == 1 else [f"input_{i}" for i in range(len(args))])
    outputs = output_names or ["score"]
    model.eval()
    file = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The exporter warns of its own future; an author can do nothing about it.
            warnings.simplefilter("ignore")
            batch = torch.export.Dim("batch", min=1, max=65536)
            program = torch.onnx.export(
                model,
                args,
                dynamo=True,
                input_names=names,
                output_names=outputs,
                dynamic_shapes=tuple({0: batch} for _ in args),
                opset_version=18,
                verbose=False,
            )
        program.save(file)
    except Exception as error:
        raise ModelError(
            "MODEL_ESTIMATOR", node, f"torch can't export the module: {str(error).strip().splitlines()[0][:200]}"
        ) from None
    import onnx

    proto = onnx.load_model_from_string(file.getvalue())
    proto.ir_version = min(proto.ir_version, EXPORT_IR_VERSION + 2)
    return bytes(proto.SerializeToString())
