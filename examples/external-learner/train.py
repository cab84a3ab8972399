"""Retrains a model on what rtml's models saw and what came of it, and writes it as ONNX for `rtml models push`.

    rtml export examples --label purchase --out examples.jsonl
    python train.py examples.jsonl model.onnx
    rtml models push model.onnx --for retrained ...

Input: one training example a line, as `rtml export examples` writes them, or the values of the topic `training.examples`
decoded. Features are the very numbers that were served, so nothing is computed here again. Rows come in the order of time
in which they are learned; the last fifth is kept for the figures, which are printed as JSON.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# What stands beside the features in a row; score.<model>, version.<model> and so on are what models said.
OWN = {
    "label",
    "kind",
    "event_id",
    "pseudonym",
    "event_ts",
    "outcome_ts",
    "settled_at",
    "value",
    "weight",
    "feature_set",
}
SERVED = ("score.", "version.", "role.", "fallback.")
OPSET = {"": 17, "ai.onnx.ml": 3}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("examples", help="file of JSON lines; - = standard input")
    parser.add_argument("model", help="ONNX file to write")
    options = parser.parse_args()

    rows = read(options.examples)
    if len(rows) < 100 or len({row["value"] for row in rows}) < 2:
        print(
            f"{len(rows)} examples, or one class only: too few to learn from",
            file=sys.stderr,
        )
        return 1
    features = [
        name for name in rows[0] if name not in OWN and not name.startswith(SERVED)
    ]
    x = np.array(
        [[number(row[name]) for name in features] for row in rows], dtype=np.float32
    )
    y = np.array([row["value"] for row in rows], dtype=np.int64)
    weight = np.array([row["weight"] for row in rows])

    cut = len(rows) * 4 // 5
    model = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    model.fit(x[:cut], y[:cut], logisticregression__sample_weight=weight[:cut])
    said = model.predict_proba(x[cut:])[:, 1]

    graph = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, len(features)]))],
        target_opset=OPSET,
        options={id(model): {"zipmap": False}},
    )
    Path(options.model).write_bytes(graph.SerializeToString())
    figures = {
        "examples": len(rows),
        "inputs": features,
        "auc": roc_auc_score(y[cut:], said) if len(set(y[cut:])) > 1 else None,
        "logLoss": log_loss(y[cut:], said, labels=[0, 1]),
    }
    print(json.dumps(figures))
    return 0


def read(path: str) -> list[dict]:
    """Examples to learn from, oldest first. Those that are to be judged by only are left out."""
    text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return sorted(
        (row for row in rows if row["kind"] != "settled"),
        key=lambda row: row["event_ts"],
    )


def number(value: object) -> float:
    """JSON has no NaN: a missing number is null."""
    return float("nan") if value is None else float(value)


if __name__ == "__main__":
    sys.exit(main())
