"""Makes the small scikit-learn models of test/unit/scorer/testdata, each with rows and what scikit-learn says of them.

    python3 -m venv .venv && .venv/bin/pip install -r models/train/requirements.txt
    .venv/bin/python models/train/test_models.py test/unit/scorer/testdata

Per model: NAME.onnx and NAME.json = {"inputs": {name: rows}, "expected": {output: rows}, "classes": [...]}. Inputs are
float32 before training, because the exported graph computes in float32: a tree's `x <= threshold` must see the same x.
"""

import json
import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

SEED = 7
ROWS = 24
OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8


def save(out: Path, name: str, onx, inputs: dict, expected: dict, classes=None) -> None:
    onx.ir_version = IR_VERSION
    (out / f"{name}.onnx").write_bytes(onx.SerializeToString())
    fixture = {
        "inputs": {k: np.asarray(v).tolist() for k, v in inputs.items()},
        "expected": {k: np.asarray(v).tolist() for k, v in expected.items()},
        "classes": None if classes is None else np.asarray(classes).tolist(),
    }
    (out / f"{name}.json").write_text(json.dumps(fixture) + "\n")
    print(f"{name}: {(out / f'{name}.onnx').stat().st_size} bytes")


def classification(classes: int):
    x, y = make_classification(600, 8, n_informative=5, n_classes=classes, random_state=SEED)
    return x.astype(np.float32), y


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    dense = [("X", FloatTensorType([None, 8]))]

    x, y = classification(2)
    forest = RandomForestClassifier(8, max_depth=4, random_state=SEED).fit(x, y)
    onx = to_onnx(forest, initial_types=dense, target_opset=OPSET)
    save(out, "forest_zipmap_int", onx, {"X": x[:ROWS]}, {"output_probability": forest.predict_proba(x[:ROWS])}, forest.classes_)

    # Labels 3 and 5: neither is "1", so which column is positive can't be guessed.
    odd = LogisticRegression(random_state=SEED).fit(x, np.where(y == 1, 5, 3))
    onx = to_onnx(odd, initial_types=dense, target_opset=OPSET)
    save(out, "logreg_zipmap_odd", onx, {"X": x[:ROWS]}, {"output_probability": odd.predict_proba(x[:ROWS])}, odd.classes_)

    x3, y3 = classification(3)
    names = np.array(["browse", "leave", "purchase"])[y3]
    logreg = LogisticRegression(max_iter=500, random_state=SEED).fit(x3, names)
    onx = to_onnx(logreg, initial_types=dense, target_opset=OPSET)
    save(out, "logreg_zipmap_text", onx, {"X": x3[:ROWS]}, {"output_probability": logreg.predict_proba(x3[:ROWS])}, logreg.classes_)
    onx = to_onnx(logreg, initial_types=dense, target_opset=OPSET, options={id(logreg): {"zipmap": False}})
    save(out, "logreg_nozipmap_text", onx, {"X": x3[:ROWS]}, {"probabilities": logreg.predict_proba(x3[:ROWS])}, logreg.classes_)

    scaled = make_pipeline(StandardScaler(), LogisticRegression(random_state=SEED)).fit(x, y)
    onx = to_onnx(scaled, initial_types=dense, target_opset=OPSET, options={id(scaled): {"zipmap": "columns"}})
    save(out, "logreg_columns", onx, {"X": x[:ROWS]}, {"output_probability": scaled.predict_proba(x[:ROWS])}, scaled[-1].classes_)

    rng = np.random.default_rng(SEED)
    category = rng.choice(["shoes", "hats", "bags"], 600).astype(object)
    device = rng.choice(["phone", "desktop"], 600).astype(object)
    bought = ((category == "shoes") ^ (x[:, 0] > 0)).astype(int)
    table = np.column_stack([category, device, x[:, 0], x[:, 1]]).astype(object)
    pipeline = make_pipeline(
        ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), [0, 1]), ("number", "passthrough", [2, 3])]),
        LogisticRegression(random_state=SEED),
    ).fit(table, bought)
    types = [("category", StringTensorType([None, 1])), ("device", StringTensorType([None, 1])),
             ("amount", FloatTensorType([None, 1])), ("age", FloatTensorType([None, 1]))]
    onx = to_onnx(pipeline, initial_types=types, target_opset=OPSET)
    rows = table[:ROWS].copy()
    rows[0, 0] = "never-seen"
    save(out, "pipeline_text", onx,
         {"category": rows[:, 0], "device": rows[:, 1], "amount": rows[:, 2], "age": rows[:, 3]},
         {"output_probability": pipeline.predict_proba(rows)}, pipeline[-1].classes_)

    xr, yr = make_regression(600, 8, noise=5, random_state=SEED)
    xr = xr.astype(np.float32)
    boosted = GradientBoostingRegressor(n_estimators=30, max_depth=3, random_state=SEED).fit(xr, yr)
    onx = to_onnx(boosted, initial_types=dense, target_opset=OPSET)
    save(out, "boosting_regressor", onx, {"X": xr[:ROWS]}, {"variable": boosted.predict(xr[:ROWS]).reshape(-1, 1)})

    # Whole numbers as int64, two named inputs, two target columns.
    both = ColumnTransformer([("all", "passthrough", [0, 1, 2])])
    counts = rng.integers(0, 9, (600, 1))
    wide = np.column_stack([x[:, :2], counts]).astype(np.float32)
    target = np.column_stack([wide @ [1.0, -2.0, 0.5], wide @ [0.5, 0.25, -1.0] + 3])
    linear = make_pipeline(both, LinearRegression()).fit(wide, target)
    types = [("numbers", FloatTensorType([None, 2])), ("count", Int64TensorType([None, 1]))]
    onx = to_onnx(linear, initial_types=types, target_opset=OPSET)
    save(out, "linear_multi", onx, {"numbers": wide[:ROWS, :2], "count": counts[:ROWS, 0]}, {"variable": linear.predict(wide[:ROWS])})

    multi = MultiOutputClassifier(LogisticRegression(random_state=SEED)).fit(x, np.column_stack([y, x[:, 2] > 0]))
    onx = to_onnx(multi, initial_types=dense, target_opset=OPSET, options={id(multi): {"zipmap": False}})
    first, second = multi.predict_proba(x[:ROWS])
    save(out, "multilabel_sequence", onx, {"X": x[:ROWS]}, {"probabilities[0]": first, "probabilities[1]": second})


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "test/unit/scorer/testdata"))
