"""Trains a model of every kind, exports it, and compares 1,000 rows with its Python original: a table, and a bundle a kind.

    python models/python/kinds.py OUT [--only NAME …] [--deep]

OUT/NAME.rtml has the graph, the model and 1,000 tests; `test/python/kinds.test.ts` replays them with the TypeScript scorer.
`--deep` adds Keras and PyTorch, where they are installed. Prints one JSON object a kind.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 1000
SEED = 11


@dataclass
class Kind:
    """`expected` is what the Python original says of `rows`, in the order of the columns `output` of the graph."""

    graph: Any
    rows: pd.DataFrame
    output: list[str]
    expected: np.ndarray


def numbers(columns: int = 8, seed: int = SEED) -> pd.DataFrame:
    x = np.random.default_rng(seed).normal(size=(2000 + ROWS, columns)).astype(np.float32)
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(columns)])


def target(frame: pd.DataFrame) -> pd.Series:
    noise = np.random.default_rng(SEED + 1).normal(size=len(frame)) * 0.5
    return ((frame["x0"] * frame["x1"] + frame["x2"] - 0.3 * frame["x3"] ** 2 + noise) > 0).astype(int)


def sklearn_kind(
    path: str,
    settings: dict[str, Any],
    out: Path,
    output: Callable[[list[str]], list[str]],
    original: Callable[[Any, np.ndarray], np.ndarray],
    *,
    label: bool = True,
    regression: bool = False,
) -> Kind:
    from rtml import DataMsg, Graph, Receiver, ScikitLearn

    frame = numbers()
    features = list(frame.columns)
    frame["y"] = frame["x0"] * 2 - frame["x1"] + frame["x2"] ** 2 if regression else target(frame)
    node = ScikitLearn(
        {
            "features": features,
            **({"label": "y"} if label else {}),
            "model_path": str(out / "model.onnx"),
            "params": {"model": path, "model_params": settings},
        },
        name="model",
    )
    node.process(DataMsg(data=frame.head(2000)))
    graph = Graph.chain(out.name, Receiver({"columns": dict.fromkeys(features, "float32")}), node)
    rows = frame[features].tail(ROWS).reset_index(drop=True)
    columns = output(graph.document["output"]["columns"])
    return Kind(graph, rows, columns, original(node.estimator, rows.to_numpy(np.float32)))


def probabilities(columns: list[str]) -> list[str]:
    return [name for name in columns if name.startswith("probabilities")]


def of_probabilities(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_proba(x))


def of_values(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict(x)).reshape(len(x), -1)


def classifier(path: str, **settings: Any) -> Callable[[Path], Kind]:
    return lambda out: sklearn_kind(path, settings, out, probabilities, of_probabilities)


def regressor(path: str, **settings: Any) -> Callable[[Path], Kind]:
    return lambda out: sklearn_kind(path, settings, out, lambda c: ["variable"], of_values, regression=True)


def k_means(out: Path) -> Kind:
    def distances(model: Any, x: np.ndarray) -> np.ndarray:
        return np.asarray(model.transform(x))

    return sklearn_kind(
        "sklearn.cluster.KMeans",
        {"n_clusters": 5, "n_init": 3, "random_state": 0},
        out,
        lambda c: [n for n in c if n.startswith("scores")],
        distances,
        label=False,
    )


def scaler(out: Path) -> Kind:
    return sklearn_kind(
        "sklearn.preprocessing.StandardScaler",
        {},
        out,
        lambda c: c,
        lambda m, x: np.asarray(m.transform(x)),
        label=False,
    )


def mixed() -> pd.DataFrame:
    frame = numbers(3)
    rng = np.random.default_rng(SEED)
    frame["city"] = rng.choice(["Basel", "Bern", "Genève", "Zürich"], len(frame)).astype(object)
    frame["device"] = rng.choice(["phone", "desktop"], len(frame)).astype(object)
    frame["y"] = ((frame["city"] == "Bern") ^ (frame["x0"] > 0)).astype(int)
    return frame


def column_transformer(out: Path) -> Kind:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    from rtml import DataMsg, Graph, Receiver, ScikitLearn

    frame = mixed()
    features = ["x0", "x1", "x2", "city", "device"]
    columns = ColumnTransformer(
        [("n", StandardScaler(), features[:3]), ("c", OneHotEncoder(handle_unknown="ignore"), features[3:])]
    )
    node = ScikitLearn(
        {
            "features": features,
            "label": "y",
            "model_path": str(out / "model.onnx"),
            "params": {"model": make_pipeline(columns, LogisticRegression())},
        },
        name="model",
    )
    node.process(DataMsg(data=frame.head(2000)))
    types = {**dict.fromkeys(features[:3], "float32"), **dict.fromkeys(features[3:], "string")}
    graph = Graph.chain(out.name, Receiver({"columns": types}), node)
    rows = frame[features].tail(ROWS).reset_index(drop=True)
    rows.loc[::50, "city"] = "never seen"
    return Kind(graph, rows, ["probabilities_0", "probabilities_1"], node.estimator.predict_proba(rows))


def text_hashing(out: Path) -> Kind:
    """The hashing trick in the graph: words into 32 columns by MurmurHash3, then a linear model."""
    from rtml import DataMsg, FieldOps, Graph, OneHotEncoder, Receiver, ScikitLearn

    rng = np.random.default_rng(SEED)
    words = np.array([f"word{i}" for i in range(400)], dtype=object)
    frame = pd.DataFrame({"word": rng.choice(words, 3000)})
    frame["y"] = [int(len(word) % 2 == 0 or word.endswith("7")) for word in frame["word"]]
    hashed = FieldOps({"create": {"bucket": "hash(word, 32)"}})
    encode = OneHotEncoder({"cols": "bucket", "categories": {"bucket": list(range(32))}})
    node = ScikitLearn(
        {
            "features": [f"bucket_{i}" for i in range(32)],
            "label": "y",
            "model_path": str(out / "model.onnx"),
            "params": {"model": "sklearn.linear_model.LogisticRegression"},
        },
        name="model",
    )
    node.process(encode.process(hashed.process(DataMsg(data=frame.head(2000)))))
    graph = Graph.chain(out.name, Receiver({"columns": {"word": "string"}}), hashed, encode, node)
    rows = frame[["word"]].tail(ROWS).reset_index(drop=True)
    matrix = encode.process(hashed.process(DataMsg(data=rows))).data[node.params["features"]].to_numpy(np.float32)
    return Kind(graph, rows, ["probabilities_0", "probabilities_1"], node.estimator.predict_proba(matrix))


def quantised(out: Path) -> Kind:
    """A network of dense layers with int8 weights: what it loses against the float original is the price of int8."""
    from sklearn.neural_network import MLPClassifier

    from rtml import Graph, ONNXNode, Receiver, export_sklearn, quantise

    frame = numbers()
    model = MLPClassifier((64, 32), max_iter=60, random_state=0).fit(
        frame.head(2000).to_numpy(), target(frame).head(2000)
    )
    (out / "model.onnx").write_bytes(quantise(export_sklearn(model, 8), frame.head(500).to_numpy()))
    node = ONNXNode({"features": list(frame.columns), "model_path": str(out / "model.onnx")}, name="model")
    graph = Graph.chain(out.name, Receiver({"columns": dict.fromkeys(frame.columns, "float32")}), node)
    rows = frame.tail(ROWS).reset_index(drop=True)
    return Kind(graph, rows, ["probabilities_0", "probabilities_1"], model.predict_proba(rows.to_numpy()))


def keras_mlp(out: Path) -> Kind:
    import keras

    from rtml import Graph, Receiver, TensorFlow

    keras.utils.set_random_seed(SEED)
    frame = numbers()
    model = keras.Sequential(
        [
            keras.layers.Input((8,), name="features"),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(frame.head(2000).to_numpy(), target(frame).head(2000).to_numpy(), epochs=2, verbose=0)
    node = TensorFlow({"model": model, "features": list(frame.columns)}, name="model")
    graph = Graph.chain(out.name, Receiver({"columns": dict.fromkeys(frame.columns, "float32")}), node)
    rows = frame.tail(ROWS).reset_index(drop=True)
    return Kind(graph, rows, ["score"], model.predict(rows.to_numpy(), verbose=0))


def keras_embedding(out: Path) -> Kind:
    import keras

    from rtml import Graph, NumpyArrays, Receiver, TensorFlow

    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    ids = rng.integers(0, 200, size=(2000 + ROWS, 2))
    amount = rng.normal(size=(len(ids), 1)).astype(np.float32)
    y = ((ids[:, 0] % 3 == 0) ^ (amount[:, 0] > 0)).astype(int)
    item = keras.layers.Input((2,), dtype="int64", name="items")
    other = keras.layers.Input((1,), name="amount")
    flat = keras.layers.Flatten()(keras.layers.Embedding(200, 6)(item))
    hidden = keras.layers.Dense(16, "relu")(keras.layers.Concatenate()([flat, other]))
    model = keras.Model([item, other], keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy")
    model.fit([ids[:2000], amount[:2000]], y[:2000], epochs=3, verbose=0)
    arrays = NumpyArrays({"columns": ["item", "category"], "as": "pair", "shape": [2], "dtype": "int64"})
    node = TensorFlow({"model": model, "inputs": {"items": "pair", "amount": ["amount"]}}, name="model")
    graph = Graph.chain(
        out.name, Receiver({"columns": {"item": "int64", "category": "int64", "amount": "float32"}}), arrays, node
    )
    rows = pd.DataFrame({"item": ids[2000:, 0], "category": ids[2000:, 1], "amount": amount[2000:, 0]})
    return Kind(graph, rows, ["score"], model.predict([ids[2000:], amount[2000:]], verbose=0))


def torch_gru(out: Path) -> Kind:
    """The last five events of a visitor, three numbers each, oldest first."""
    import torch

    from rtml import Graph, NumpyArrays, PyTorch, Receiver

    torch.manual_seed(SEED)
    torch.set_num_threads(1)

    class LastEvents(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(3, 12, batch_first=True)
            self.head = torch.nn.Linear(12, 1)

        def forward(self, events: Any) -> Any:
            _, last = self.gru(events)
            return torch.sigmoid(self.head(last[-1]))

    x = np.random.default_rng(SEED).normal(size=(2000 + ROWS, 5, 3)).astype(np.float32)
    y = (x[:, -1, 0] + x[:, :, 1].mean(axis=1) > 0).astype(np.float32)
    model = LastEvents()
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(15):
        optimiser.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(
            model(torch.from_numpy(x[:2000]))[:, 0], torch.from_numpy(y[:2000])
        )
        loss.backward()
        optimiser.step()
    names = [f"{what}_{i}" for i in range(5) for what in ("price", "dwell", "depth")]
    arrays = NumpyArrays({"columns": names, "as": "events", "shape": [5, 3], "pad": 0.0})
    node = PyTorch({"model": model, "sample": torch.from_numpy(x[:2]), "inputs": {"features": "events"}}, name="model")
    graph = Graph.chain(out.name, Receiver({"columns": dict.fromkeys(names, "float32")}), arrays, node)
    rows = pd.DataFrame(x[2000:].reshape(ROWS, -1), columns=names)
    with torch.no_grad():
        expected = model(torch.from_numpy(x[2000:])).numpy()
    return Kind(graph, rows, ["score"], expected)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "linear-regression": regressor("sklearn.linear_model.LinearRegression"),
    "logistic-regression": classifier("sklearn.linear_model.LogisticRegression"),
    "decision-tree": classifier("sklearn.tree.DecisionTreeClassifier", max_depth=6, random_state=0),
    "random-forest": classifier(
        "sklearn.ensemble.RandomForestClassifier", n_estimators=50, max_depth=6, random_state=0
    ),
    "gradient-boosting": classifier("sklearn.ensemble.GradientBoostingClassifier", n_estimators=40, random_state=0),
    "hist-gradient-boosting": classifier(
        "sklearn.ensemble.HistGradientBoostingClassifier", max_iter=40, random_state=0
    ),
    "boosting-regressor": regressor("sklearn.ensemble.GradientBoostingRegressor", n_estimators=40, random_state=0),
    "svm": regressor("sklearn.svm.SVR", C=1.0),
    "svm-classifier": lambda out: sklearn_kind("sklearn.svm.SVC", {"C": 1.0}, out, lambda c: ["label"], of_values),
    "k-means": k_means,
    "standard-scaler": scaler,
    "column-transformer": column_transformer,
    "text-hashing": text_hashing,
    "lightgbm": classifier(
        "lightgbm.LGBMClassifier", n_estimators=40, num_leaves=15, random_state=0, n_jobs=1, verbose=-1
    ),
    "quantised": quantised,
}
DEEP: dict[str, tuple[str, Callable[[Path], Kind]]] = {
    "keras-mlp": ("tensorflow", keras_mlp),
    "keras-embedding": ("tensorflow", keras_embedding),
    "torch-gru": ("torch", torch_gru),
}


def measure(kind: Kind) -> dict[str, Any]:
    got = kind.graph.process(kind.rows)[kind.output].to_numpy(np.float64)
    difference = np.abs(got - kind.expected.astype(np.float64))
    model_id, model = next(iter(kind.graph.plan.models.items()))
    feeds = kind.graph.plan.document["nodes"][-1]["params"]["inputs"]
    frames, _ = kind.graph.plan.frames(kind.graph.questions(kind.rows))
    before = frames[kind.graph.plan.feeds[kind.graph.document["output"]["node"]]["in"]]
    elements = {port.name: port.element for port in model.inputs}
    batch = {}
    for feed in feeds:
        dtype = {"string": object, "int64": np.int64}.get(elements[feed["name"]], np.float32)
        stacked = np.stack([before.columns[name] for name in feed["columns"]], axis=1).astype(dtype)
        batch[feed["name"]] = stacked.reshape((ROWS, *feed.get("shape", [len(feed["columns"])])))
    names = [port.name for port in model.outputs if port.is_tensor]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        model.run(batch, names)
        times.append((time.perf_counter() - start) / ROWS * 1e6)
    return {
        "rows": len(kind.rows),
        "bytes": len(kind.graph.compiler.contents[model_id]),
        "maxAbsDifference": float(difference.max()),
        "shareAbove1e-5": float((difference > 1e-5 * np.maximum(1, np.abs(kind.expected))).mean()),
        "onnxruntimeUsPerRow": round(min(times), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--deep", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["RTML_MODEL_STORE"] = str(options.out / "store")
    kinds = {} if options.deep else dict(KINDS)
    if options.deep:
        kinds = {name: make for name, (package, make) in DEEP.items() if importlib.util.find_spec(package)}
    for name, make in kinds.items():
        if options.only and name not in options.only:
            continue
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        kind = make(folder)
        line = measure(kind)
        kind.graph.bundle(
            options.out / f"{name}.rtml",
            tests=kind.rows,
            max_tests=ROWS,
            metrics={"maxAbsDifference": line["maxAbsDifference"]},
        )
        print(json.dumps({"kind": name, **line}), flush=True)


if __name__ == "__main__":
    main()
