"""Makes the model of the benchmark: 100 trees of depth 6 over 32 float inputs, the same bytes for the same seed.

    python3 -m venv .venv && .venv/bin/pip install -r models/bench/requirements.txt
    .venv/bin/python models/bench/make_model.py models/bench

The benchmark measures the cost of scoring, so the data behind the trees is synthetic and means nothing. Trees are nearly full,
so a row makes about six comparisons a tree, as in a production model.
"""

import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingRegressor

SEED = 2026
INPUTS = 32
TREES = 100
DEPTH = 6


def main(out: Path) -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(8_000, INPUTS)).astype(np.float32)
    y = np.tanh(x[:, 0] * x[:, 1]) + np.sin(x[:, 2]) + 0.5 * x[:, 3:].mean(axis=1) + rng.normal(0, 0.1, len(x))
    model = GradientBoostingRegressor(
        n_estimators=TREES, max_depth=DEPTH, min_samples_leaf=3, subsample=0.9, random_state=SEED
    ).fit(x, y)
    onx = to_onnx(model, initial_types=[("X", FloatTensorType([None, INPUTS]))], target_opset={"": 17, "ai.onnx.ml": 3})
    onx.ir_version = 8
    path = out / "trees100x6.onnx"
    path.write_bytes(onx.SerializeToString())
    print(f"{path}: {path.stat().st_size} bytes, {sum(t.tree_.node_count for t in model.estimators_.ravel())} nodes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "models/bench"))
