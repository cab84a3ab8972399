"""Trains the demo's model on examples that rtml's own feature kernel made, and writes it as ONNX with honest figures.

    python3 -m venv .venv && .venv/bin/pip install -r models/luma/requirements.txt
    .venv/bin/python models/luma/train.py --examples examples.csv --label label --time ts --until 2018-12-05T00:00:00Z

Examples: CSV, or JSON lines; one row an event: its feature columns as served, the label, the time (ISO or epoch ms), and if
present `split` (train/test/other), `profile`, `event_id`. Every other column is a feature, in the order of the file.

No leakage: the split is by time, and examples whose label looks past `--until` are dropped from training (--label-window).
Model and settings are chosen on the last quarter of the training time; the test period is looked at once, at the end.
Input is float32 before training and NaN means missing, exactly as the graph will see them.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import skl2onnx
import sklearn
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 17
OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
NOT_FEATURES = {"split", "profile", "event_id"}
MIN_EVENTS_OF_A_CLASS = 20
BOOTSTRAPS = 300


def main() -> int:
    options = arguments()
    table, columns, examples_sha256 = read_examples(options)
    train, test = split(table, options)
    name, settings, make, validation_auc = choose(train, columns, options)
    print(f"chosen on the last quarter of the training time: {name} {settings}, AUC {validation_auc:.4f}")
    model = make().fit(matrix(train, columns), labels(train, options))

    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    onx = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, len(columns)]))],
        target_opset=OPSET,
        options={id(model): {"zipmap": False}},
    )
    onx.ir_version = IR_VERSION
    content = onx.SerializeToString()
    (out / "propensity.onnx").write_bytes(content)

    # Figures of what is served (the ONNX file), not of the Python object.
    scores = run_onnx(content, matrix(test, columns))
    expected = model.predict_proba(matrix(test, columns))[:, 1]
    parity = {
        "rows": len(expected),
        "maxAbsDifference": float(np.max(np.abs(scores - expected))),
        "shareAbove1e-4": float(np.mean(np.abs(scores - expected) > 1e-4)),
    }
    metrics = {
        "model": name,
        "settings": settings,
        "label": options.label,
        "until": options.until,
        "labelWindow": options.label_window,
        "train": describe(train, options),
        "test": describe(test, options),
        "validationAuc": round(validation_auc, 6),
        **evaluate(test, scores, options),
        "bestSingleFeature": best_single_feature(train, test, columns, options),
        "parity": parity,
        "columns": columns,
        "onnxSha256": hashlib.sha256(content).hexdigest(),
        "examplesSha256": examples_sha256,
        "versions": {"scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__, "onnxruntime": onnxruntime.__version__},
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    low, high = metrics["aucInterval95"]
    print(
        f"test AUC {metrics['auc']:.4f} (95 % {low:.4f}–{high:.4f}), {metrics['test']['rows']} rows after {options.until}, "
        f"{metrics['test']['positives']} positive; per visitor {metrics['aucPerVisitor']}; "
        f"best single feature {metrics['bestSingleFeature']['feature']} {metrics['bestSingleFeature']['auc']:.4f}; "
        f"ONNX against scikit-learn: max difference {parity['maxAbsDifference']:.2e}, {len(content)} bytes"
    )
    if metrics["logLoss"] > metrics["logLossOfBaseRate"]:
        print(
            f"warning: probabilities are not calibrated for the test period (log loss {metrics['logLoss']:.3f}, a constant has "
            f"{metrics['logLossOfBaseRate']:.3f}): positives went from {share(train, options):.1%} to {share(test, options):.1%}. Use the score to rank."
        )
    return 0


def share(table: pd.DataFrame, options: argparse.Namespace) -> float:
    return float(table[options.label].mean())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", required=True, help="CSV (.csv, .csv.gz) or JSON lines (.jsonl, .json, + .gz)")
    parser.add_argument("--label", default="label", help="column with 0 and 1 (or false and true)")
    parser.add_argument("--time", default="ts", help="column with ISO times or epoch milliseconds")
    parser.add_argument("--until", required=True, help="end of training and start of the test period, ISO")
    parser.add_argument("--label-window", default="24h", help="how far a label looks ahead; default 24h")
    parser.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="column that is no feature; repeatable")
    parser.add_argument("--out", default=str(Path(__file__).parent), help="folder for propensity.onnx and metrics.json")
    return parser.parse_args()


def read_examples(options: argparse.Namespace):
    path = Path(options.examples)
    if not path.exists():
        sys.exit(f"{path} does not exist. Export the examples first.")
    table = pd.read_csv(path, low_memory=False) if ".csv" in path.suffixes else pd.read_json(path, lines=True, convert_dates=False)
    for column in (options.label, options.time):
        if column not in table:
            sys.exit(f"{path} has no column {column!r}. It has: {', '.join(map(str, table.columns))}")
    numeric_time = pd.api.types.is_numeric_dtype(table[options.time])
    table[options.time] = pd.to_datetime(table[options.time], unit="ms" if numeric_time else None, utc=True)
    table[options.label] = table[options.label].replace({"true": 1, "false": 0, "True": 1, "False": 0}).astype(int)
    if set(table[options.label].unique()) - {0, 1}:
        sys.exit(f"column {options.label!r} has values other than 0 and 1")
    skip = NOT_FEATURES | {options.label, options.time} | set(options.drop)
    columns = [str(it) for it in table.columns if it not in skip]
    text = [it for it in columns if not (pd.api.types.is_numeric_dtype(table[it]) or table[it].isna().all())]
    if text:
        sys.exit(f"text columns {', '.join(text)}: give these features an encode in the application file, or --drop them")
    table = table.sort_values([options.time], kind="stable").reset_index(drop=True)
    return table, columns, hashlib.sha256(path.read_bytes()).hexdigest()


def split(table: pd.DataFrame, options: argparse.Namespace):
    until = pd.Timestamp(options.until)
    until = until.tz_localize("UTC") if until.tzinfo is None else until
    train = table[table[options.time] < until - pd.Timedelta(options.label_window)]
    test = table[table[options.time] >= until]
    if "split" in table:
        train, test = train[train["split"] == "train"], test[test["split"] == "test"]
    for part, rows in (("training", train), ("test", test)):
        positives = int(rows[options.label].sum())
        if min(positives, len(rows) - positives) < MIN_EVENTS_OF_A_CLASS:
            sys.exit(f"the {part} period has {positives} positive of {len(rows)} examples; at least {MIN_EVENTS_OF_A_CLASS} of each are needed")
    return train, test


def matrix(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    return table[columns].to_numpy(dtype=np.float32)


def labels(table: pd.DataFrame, options: argparse.Namespace) -> np.ndarray:
    return table[options.label].to_numpy()


def candidates():
    """Name, settings, constructor. Simple first: on a tie of AUC to three digits the earlier one wins."""
    for c in (0.01, 0.1, 1.0):
        yield "logistic regression", {"C": c}, lambda c=c: make_pipeline(
            SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=c, max_iter=2_000, random_state=SEED)
        )
    for depth in (2, 3, 4):
        for iterations in (60, 150):
            yield "histogram gradient boosting", {"depth": depth, "iterations": iterations, "learningRate": 0.06}, (
                lambda depth=depth, iterations=iterations: HistGradientBoostingClassifier(
                    max_depth=depth, max_iter=iterations, learning_rate=0.06, min_samples_leaf=40,
                    l2_regularization=1.0, early_stopping=False, random_state=SEED,
                )
            )


def choose(train: pd.DataFrame, columns: list[str], options: argparse.Namespace):
    # By time again, and again without examples whose label looks into the later part.
    begin, end = train[options.time].min(), train[options.time].max()
    border = begin + (end - begin) * 0.75
    earlier = train[train[options.time] < border - pd.Timedelta(options.label_window)]
    later = train[train[options.time] >= border]
    best = None
    for name, settings, make in candidates():
        model = make().fit(matrix(earlier, columns), labels(earlier, options))
        auc = roc_auc_score(labels(later, options), model.predict_proba(matrix(later, columns))[:, 1])
        print(f"  {name} {settings}: AUC {auc:.4f}")
        if best is None or round(auc, 3) > round(best[3], 3):
            best = (name, settings, make, auc)
    return best


def run_onnx(content: bytes, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"features": x})[0][:, 1]


def describe(table: pd.DataFrame, options: argparse.Namespace) -> dict:
    found = {
        "rows": len(table),
        "positives": int(table[options.label].sum()),
        "from": table[options.time].min().isoformat(),
        "to": table[options.time].max().isoformat(),
    }
    if "profile" in table:
        found["profiles"] = int(table["profile"].nunique())
    return found


def evaluate(test: pd.DataFrame, scores: np.ndarray, options: argparse.Namespace) -> dict:
    y = labels(test, options)
    return {
        "auc": round(float(roc_auc_score(y, scores)), 6),
        "aucInterval95": bootstrap_auc(test, y, scores),
        "aucPerVisitor": per_visitor_auc(test, y, scores),
        "averagePrecision": round(float(average_precision_score(y, scores)), 6),
        "logLoss": round(float(log_loss(y, np.clip(scores, 1e-7, 1 - 1e-7))), 6),
        "logLossOfBaseRate": round(float(log_loss(y, np.full(len(y), y.mean()))), 6),
        "brier": round(float(brier_score_loss(y, scores)), 6),
    }


def bootstrap_auc(test: pd.DataFrame, y: np.ndarray, scores: np.ndarray) -> list[float]:
    """95 % interval by drawing visitors, not events: a visitor's events aren't independent."""
    groups = test["profile"].to_numpy() if "profile" in test else np.arange(len(test))
    members = list(pd.Series(np.arange(len(test))).groupby(groups).apply(lambda it: it.to_numpy()))
    rng = np.random.default_rng(SEED)
    aucs = []
    for _ in range(BOOTSTRAPS):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if 0 < y[rows].sum() < len(rows):
            aucs.append(roc_auc_score(y[rows], scores[rows]))
    return [round(float(it), 6) for it in np.quantile(aucs, [0.025, 0.975])]


def per_visitor_auc(test: pd.DataFrame, y: np.ndarray, scores: np.ndarray) -> float | None:
    """Each visitor once, by mean score and whether any label was positive: very active visitors don't dominate."""
    if "profile" not in test:
        return None
    visitors = pd.DataFrame({"profile": test["profile"].to_numpy(), "y": y, "score": scores}).groupby("profile")
    any_positive = visitors["y"].max()
    if any_positive.nunique() < 2:
        return None
    return round(float(roc_auc_score(any_positive, visitors["score"].mean())), 6)


def best_single_feature(train: pd.DataFrame, test: pd.DataFrame, columns: list[str], options: argparse.Namespace) -> dict:
    """The baseline that a model must beat: one column, its direction taken from the training period."""
    best = {"feature": None, "auc": 0.5}
    strongest = 0.5
    for column in columns:
        x = train[column].astype(float)
        if x.isna().all():
            continue
        auc = roc_auc_score(labels(train, options), x.fillna(x.median()))
        if max(auc, 1 - auc) > strongest:
            strongest = max(auc, 1 - auc)
            sign = 1 if auc >= 0.5 else -1
            filled = sign * test[column].astype(float).fillna(x.median())
            best = {"feature": column, "auc": round(float(roc_auc_score(labels(test, options), filled)), 6)}
    return best


if __name__ == "__main__":
    sys.exit(main())
