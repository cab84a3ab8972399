"""ONNX files: what they want and give, whether the runtime can load them, and where they are kept until they are deployed."""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .errors import ModelError
from .hashing import sha256

MAX_MODEL_BYTES = 512 * 1024 * 1024
MAX_OPSET = {"": 26, "ai.onnx.ml": 5}
"""What the TypeScript scorer's runtime loads: docs/models.md, Limits."""
MIN_OPSET = 7
MAX_IR_VERSION = 13
EXPORT_OPSET = {"": 17, "ai.onnx.ml": 3}
EXPORT_IR_VERSION = 8

_ELEMENT = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.BOOL: "bool",
    onnx.TensorProto.STRING: "string",
    onnx.TensorProto.FLOAT16: "float16",
}
_NUMPY: dict[str, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "int64": np.int64,
    "int32": np.int32,
    "bool": np.bool_,
    "string": object,
}


@dataclass(frozen=True)
class Port:
    """One input or output. `shape` is of one row; None = a size that the file leaves open, or no tensor at all."""

    name: str
    element: str
    shape: tuple[int | None, ...]
    is_tensor: bool = True
    classes: tuple[Any, ...] | None = None

    @property
    def width(self) -> int | None:
        total = 1
        for size in self.shape:
            if size is None:
                return None
            total *= size
        return total

    def __str__(self) -> str:
        sizes = "".join(f",{size or '?'}" for size in self.shape)
        return f"{self.name} ({self.element}[n{sizes}])"


@dataclass(frozen=True)
class Model:
    """A checked file. `content` has no ZipMap any more: the list of maps became the tensor it was made of."""

    id: str
    content: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: dict[str, int]
    ir_version: int

    def run(self, feeds: dict[str, np.ndarray], outputs: list[str]) -> list[np.ndarray]:
        return _session(self.id, self.content).run(outputs, feeds)


def load_model(content: bytes, node: str = "model") -> Model:
    """Reads and checks an ONNX file.

    @raises ModelError MODEL_SIZE, MODEL_FILE, MODEL_OPSET, MODEL_IR, MODEL_LOAD
    """
    if len(content) > MAX_MODEL_BYTES:
        raise ModelError(
            "MODEL_SIZE",
            node,
            f"the model has {len(content):,} bytes, at most {MAX_MODEL_BYTES:,} are taken. Quantise it "
            "(rtml.quantise), or leave out trees or layers.",
        )
    return _load(content, node)


@lru_cache(maxsize=64)
def _load(content: bytes, node: str) -> Model:
    try:
        proto = onnx.load_model_from_string(content)
        if not proto.graph.node and not proto.graph.output:
            raise ValueError("it has no graph")
    except Exception as error:
        raise ModelError(
            "MODEL_FILE", node, f"this is no ONNX file ({error}). Is it cut, an error page or a Git LFS pointer?"
        ) from None
    opset = {entry.domain or "": entry.version for entry in proto.opset_import}
    for domain, limit in MAX_OPSET.items():
        version = opset.get(domain, limit)
        if version > limit:
            advice = f'target_opset={{"": {EXPORT_OPSET[""]}, "ai.onnx.ml": {EXPORT_OPSET["ai.onnx.ml"]}}}'
            raise ModelError(
                "MODEL_OPSET",
                node,
                f"the model uses opset {version} of {domain or 'ai.onnx'}, the runtime has up to {limit}. "
                f"Export it again with {advice}.",
            )
    if opset.get("", MIN_OPSET) < MIN_OPSET:
        raise ModelError(
            "MODEL_OPSET",
            node,
            f"the model uses opset {opset['']}, the runtime begins at {MIN_OPSET}. "
            "Convert it: onnx.version_converter.convert_version(model, 17).",
        )
    if proto.ir_version > MAX_IR_VERSION:
        raise ModelError(
            "MODEL_IR",
            node,
            f"the file has IR version {proto.ir_version}, the runtime reads up to {MAX_IR_VERSION}. "
            f"Set model.ir_version = {EXPORT_IR_VERSION} before saving it.",
        )
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer):
        raise ModelError("MODEL_FILE", node, "the weights are in another file. Save with save_as_external_data=False.")
    if any(entry.op_type == "DynamicQuantizeLinear" for entry in proto.graph.node):
        warnings.warn(
            f"{node}: the model is quantised dynamically: a row's result depends on the other rows of its batch, so that a "
            "deployment's tests may differ. Quantise it statically: rtml.quantise(content, calibration).",
            stacklevel=3,
        )
    classes = _take_zipmaps_out(proto)
    plain = proto.SerializeToString() if classes else content
    try:
        onnx.checker.check_model(proto)
        _session(sha256(content), plain)
    except Exception as error:
        text = str(error).strip().splitlines()[0]
        raise ModelError("MODEL_LOAD", node, f"the runtime can't load the model: {text}") from None
    held = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_port(value) for value in proto.graph.input if value.name not in held)
    outputs = tuple(_port(value, classes.get(value.name)) for value in proto.graph.output)
    return Model(sha256(content), plain, inputs, outputs, opset, proto.ir_version)


def _take_zipmaps_out(proto: Any) -> dict[str, tuple[Any, ...]]:
    """Replaces each ZipMap by its input under the output's name; class labels by output."""
    classes: dict[str, tuple[Any, ...]] = {}
    for node in [node for node in proto.graph.node if node.op_type == "ZipMap"]:
        labels: tuple[Any, ...] = ()
        for attribute in node.attribute:
            if attribute.name == "classlabels_int64s":
                labels = tuple(attribute.ints)
            if attribute.name == "classlabels_strings":
                labels = tuple(text.decode() for text in attribute.strings)
        source, target = node.input[0], node.output[0]
        index = list(proto.graph.node).index(node)
        proto.graph.node.remove(node)
        proto.graph.node.insert(index, onnx.helper.make_node("Identity", [source], [target]))
        for value in proto.graph.output:
            if value.name == target:
                value.CopyFrom(onnx.helper.make_tensor_value_info(target, onnx.TensorProto.FLOAT, [None, len(labels)]))
                classes[target] = labels
    return classes


def _port(value: Any, classes: tuple[Any, ...] | None = None) -> Port:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        return Port(value.name, "sequence or map", (), False)
    dims = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim]
    return Port(value.name, _ELEMENT.get(tensor.elem_type, "unsupported"), tuple(dims[1:]), True, classes)


_SESSIONS: dict[str, Any] = {}


def _session(key: str, content: bytes) -> Any:
    import onnxruntime

    if key not in _SESSIONS:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        if len(_SESSIONS) >= 32:
            _SESSIONS.pop(next(iter(_SESSIONS)))
        _SESSIONS[key] = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return _SESSIONS[key]


def numpy_type(element: str) -> Any:
    return _NUMPY[element]


def export_sklearn(estimator: Any, width: int, node: str = "model", *, input_name: str = "features") -> bytes:
    """Converts a fitted estimator or scaler that takes one float matrix, with pinned opset and IR version.

    @raises ModelError MODEL_ESTIMATOR for an estimator without a converter
    """
    from skl2onnx.common.data_types import FloatTensorType

    return convert(estimator, [(input_name, FloatTensorType([None, width]))], node)


def convert(estimator: Any, initial_types: Any, node: str = "model") -> bytes:
    """`skl2onnx.to_onnx` with our pins; `initial_types` as there: a list of (name, type), for pipelines of texts and numbers."""
    import skl2onnx

    _register_boosters()
    classifier = hasattr(estimator, "predict_proba") or hasattr(estimator, "classes_")
    try:
        options = {id(estimator): {"zipmap": False}} if classifier else None
        with warnings.catch_warnings():
            # Converters read attributes that scikit-learn has announced to remove; the versions are ours to keep together.
            warnings.simplefilter("ignore", FutureWarning)
            proto = skl2onnx.to_onnx(estimator, initial_types=initial_types, target_opset=EXPORT_OPSET, options=options)
    except Exception as error:
        name = type(estimator).__name__
        instead = (
            "Do the function before the model instead, in a FieldTrans, FieldOps or Custom node."
            if "FunctionTransformer" in str(error)
            else "Use an estimator with a converter (skl2onnx.supported_converters()), or export it yourself and use ONNXNode."
        )
        raise ModelError(
            "MODEL_ESTIMATOR",
            node,
            f"{name} can't be converted to ONNX ({str(error).strip().splitlines()[0][:200]}). {instead}",
        ) from None
    proto.ir_version = EXPORT_IR_VERSION
    return bytes(proto.SerializeToString())


def _register_boosters() -> None:
    """Lets skl2onnx convert LightGBM's and XGBoost's estimators, also inside a pipeline, where they are installed."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    try:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    except ImportError:
        pass
    else:
        options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
        update_registered_converter(
            lightgbm.LGBMClassifier,
            "LightGbmLGBMClassifier",
            calculate_linear_classifier_output_shapes,
            convert_lightgbm,
            options=options,
        )
        update_registered_converter(
            lightgbm.LGBMRegressor,
            "LightGbmLGBMRegressor",
            calculate_linear_regressor_output_shapes,
            convert_lightgbm,
            options={"split": None},
        )


def quantise(content: bytes, calibration: np.ndarray) -> bytes:
    """Int8 weights and activations of a model with one float input; `calibration` are rows like those it will see, [n, k].

    Static, on purpose: dynamic quantisation takes its scale from the whole batch, so that a row's score would depend on the rows
    beside it. Trees gain nothing; only matrix products and convolutions are quantised.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = load_model(content)

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.parts = iter(np.array_split(np.asarray(calibration, dtype=np.float32), max(1, len(calibration) // 64)))

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(self.parts, None)
            return None if part is None else {model.inputs[0].name: part}

    with tempfile.TemporaryDirectory() as folder:
        before, ready, after = (str(Path(folder, name)) for name in ("before.onnx", "ready.onnx", "after.onnx"))
        Path(before).write_bytes(model.content)
        quant_pre_process(before, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            after,
            Rows(),
            quant_format=QuantFormat.QDQ,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        proto = onnx.load(after)
    proto.ir_version = min(proto.ir_version, 10)
    return bytes(proto.SerializeToString())


class ModelStore:
    """Files by the SHA-256 of their bytes, in `RTML_MODEL_STORE` or `~/.rtml/models`; a second upload costs nothing."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or os.environ.get("RTML_MODEL_STORE") or Path.home() / ".rtml" / "models")

    def put(self, content: bytes) -> str:
        model_id = sha256(content)
        path = self.folder / f"{model_id}.onnx"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}.tmp")
            aside.write_bytes(content)
            aside.replace(path)
        return model_id

    def get(self, model_id: str, node: str = "model") -> bytes:
        path = self.folder / f"{model_id}.onnx"
        if not model_id.isalnum() or not path.exists():
            raise ModelError(
                "MODEL_UNKNOWN",
                node,
                f'there is no model "{model_id}" in the store {self.folder}. Upload it first: '
                "ModelUpload(params={'model_path': path}).process(None, 1).",
            )
        return path.read_bytes()
