"""The cells of the published notebook against a running engine, in their order and their call forms."""

from __future__ import annotations

import contextlib
import io
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rtml
from platform_sdk.dataset_reader import DatasetReader
from rtml.samples import car_insurance
from rtml_nodelibs.core.datamsg import DataMsg
from rtml_nodelibs.core.nodefactory import NodeFactory as nf
from rtml_nodelibs.nodes.standard.ml.artifact_utils import ModelUpload
from rtml_nodelibs.nodes.standard.ml.onnx import ONNXNode
from rtml_nodelibs.nodes.standard.ml.scikitlearn import ScikitLearn
from rtml_nodelibs.nodes.standard.preprocessing.json_to_df import JsonToDataframe
from rtml_nodelibs.nodes.standard.preprocessing.one_hot_encoder import OneHotEncoder
from rtml_nodelibs.nodes.standard.preprocessing.pandasnode import Pandas
from rtml_nodelibs.nodes.standard.preprocessing.splitter import Split
from rtml_sdk.edge.utils import EdgeUtils
from rtml_sdk.graph.utils import GraphBuilder

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def engine() -> Iterator[rtml.Engine]:
    with rtml.Engine(NOTEBOOKS / "shop.yaml") as running:
        yield running


def test_discovers_the_published_nodes_and_imports_each() -> None:
    found = nf.discover_nodes()
    published = {
        "FieldOps": "rtml_nodelibs.nodes.standard.preprocessing.fieldops.FieldOps",
        "FieldTrans": "rtml_nodelibs.nodes.standard.preprocessing.fieldtrans.FieldTrans",
        "ModelUpload": "rtml_nodelibs.nodes.standard.ml.artifact_utils.ModelUpload",
        "ONNXNode": "rtml_nodelibs.nodes.standard.ml.onnx.ONNXNode",
        "Pandas": "rtml_nodelibs.nodes.standard.preprocessing.pandasnode.Pandas",
        "Processor": "rtml_nodelibs.nodes.standard.preprocessing.processor.Processor",
        "Receiver": "rtml_nodelibs.nodes.standard.preprocessing.receiver.Receiver",
        "ScikitLearn": "rtml_nodelibs.nodes.standard.ml.scikitlearn.ScikitLearn",
        "Simulator": "rtml_nodelibs.nodes.standard.preprocessing.simulator.Simulator",
        "Split": "rtml_nodelibs.nodes.standard.preprocessing.splitter.Split",
    }
    assert published.items() <= found.items()
    for path in found.values():
        module, _, name = path.rpartition(".")
        assert getattr(__import__(module, fromlist=[name]), name).__name__ == name
    assert "OneHotEncoder" in pformat(found) and OneHotEncoder is not None


def test_car_insurance_from_data_to_a_deleted_service(
    engine: rtml.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    car_insurance(1500).to_csv("carinsurance.csv", index=False)
    config_properties = {
        "train_records_limit": 1000000,
        "n_estimators": "20",
        "max_depth": "3",
        "ten_id": "_experienceplatform",
    }
    df1 = DatasetReader(dataset_id="carinsurance").limit(config_properties["train_records_limit"]).read()

    # Data Rollup, Data Preparation
    df1["timestamp"] = pd.to_datetime(df1.timestamp)
    df1["hour"] = df1["timestamp"].dt.hour.astype(int)
    df1["dayofweek"] = df1["timestamp"].dt.dayofweek
    df1.loc[(df1["purchase"] == "yes"), "purchase"] = 1
    with pytest.warns(FutureWarning):
        df1.purchase.fillna(0, inplace=True)
    df1["purchase"] = df1["purchase"].astype(int)
    df1["carbrand"] = df1["carbrand"].str.lower()
    df1.loc[(df1["carbrand"] == "vw"), "carbrand"] = "volkswagen"
    with pytest.warns(FutureWarning):
        df1["age"].fillna(df1["age"].median(), inplace=True)
        df1["gender"].fillna("notgiven", inplace=True)
        df1["leasing"].fillna("notgiven", inplace=True)
        df1["carbrand"].fillna("Others", inplace=True)
    df1.dropna(subset=["pricequote"], inplace=True)
    df1["age"] = df1["age"].astype(int)
    df1["age_bucket"] = df1["age"].apply(
        lambda x: "u20" if x < 20 else "20-28" if x < 29 else "29-49" if x < 50 else "Others"
    )
    cat_cols = ["age_bucket", "gender", "dayofweek", "carbrand", "cartype", "leasing"]
    df_final = pd.get_dummies(df1[["hour", *cat_cols, "pricequote", "purchase"]], columns=cat_cols)

    # Training pipeline, Generate ONNX
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import GradientBoostingClassifier

    features = [name for name in df_final.columns if name != "purchase"]
    trained = GradientBoostingClassifier(
        n_estimators=int(config_properties["n_estimators"]),
        max_depth=int(config_properties["max_depth"]),
        random_state=0,
    ).fit(df_final[features].values.astype(np.float32), df_final["purchase"])
    onx = convert_sklearn(trained, initial_types=[("float_input", FloatTensorType([None, len(features)]))])
    with open("model.onnx", "wb") as f:
        f.write(onx.SerializeToString())

    model = ModelUpload(params={"model_path": "model.onnx"})
    msg_model = model.process(None, 1)
    model_id = msg_model.model["model_id"]

    # Node authoring
    raw = car_insurance(40, seed=77).drop(columns=["purchase"])
    json_df_node = JsonToDataframe(params={"json_payload": json.dumps(raw.head(5).to_dict())})
    leasing_mapper_node = Pandas(
        params={
            "import": "map",
            "kwargs": {"arg": {"dataLayerNull": "dataLayerNull", "no": "no", "yes": "yes", "notgiven": "notgiven"}},
            "inplace": True,
            "cols": "leasing",
        }
    )
    brands = {
        brand: {"VW": "volkswagen"}.get(brand, brand.lower())
        for brand in ("VW", "volkswagen", "Audi", "BMW", "Skoda", "Opel", "Fiat", "Seat", "Lada")
    }

    def pandas_node(name: str, cols: Any, **kwargs: Any) -> Pandas:
        return Pandas(params={"import": name, "kwargs": kwargs, "inplace": True, "cols": cols})

    nodes = [
        json_df_node,
        pandas_node("to_datetime", "timestamp"),
        Pandas(params={"import": "hour", "cols": "timestamp", "as": "hour"}),
        Pandas(params={"import": "dayofweek", "cols": "timestamp", "as": "dayofweek"}),
        pandas_node("fillna", "age", value=float(df1["age"].median())),
        pandas_node("fillna", ["gender", "leasing"], value="notgiven"),
        pandas_node("map", "carbrand", arg=brands),
        pandas_node("fillna", "carbrand", value="Others"),
        leasing_mapper_node,
        pandas_node("astype", "age", dtype="int"),
        Pandas(
            params={
                "import": "cut",
                "kwargs": {"bins": [0, 20, 29, 50, 200], "labels": ["u20", "20-28", "29-49", "Others"], "right": False},
                "cols": "age",
                "as": "age_bucket",
            }
        ),
        Pandas(params={"import": "get_dummies", "kwargs": {"columns": cat_cols}}),
        ONNXNode(params={"features": features, "model_id": model_id}),
    ]
    edges = [(nodes[i], nodes[i + 1]) for i in range(len(nodes) - 1)]
    dsl = GraphBuilder.generate_dsl(nodes=nodes, edges=edges)
    assert len(json.loads(dsl)["edge"]["applicationDsl"]["nodes"]) == len(nodes)

    # Publish, update, score, list, delete
    edge_utils = EdgeUtils()
    (edge_location, service_id) = edge_utils.publish_to_edge(dsl=dsl)
    assert edge_location == engine.url
    assert str(uuid.UUID(service_id)) == service_id
    dsl_dict = json.loads(dsl)
    dsl_dict["edge"]["applicationDsl"]["nodes"][0]["id"] = str(uuid.uuid4())
    (edge_location_ret, same_id, updated_dsl) = edge_utils.update_deployment(
        dsl=json.dumps(dsl_dict), service_id=service_id
    )
    assert (edge_location_ret, same_id, json.loads(updated_dsl)) == (edge_location, service_id, dsl_dict)

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        scored_output = edge_utils.score_edge(
            edge_location=edge_location, service_id=service_id, scoring_data=raw.to_dict()
        )
    assert f"{engine.url}/v1/predict/{service_id}" in printed.getvalue()

    prepared = raw.copy()
    stamps = pd.to_datetime(prepared["timestamp"])
    prepared["hour"], prepared["dayofweek"] = stamps.dt.hour, stamps.dt.dayofweek
    prepared["age"] = prepared["age"].fillna(df1["age"].median()).astype(int)
    prepared[["gender", "leasing"]] = prepared[["gender", "leasing"]].fillna("notgiven")
    prepared["carbrand"] = prepared["carbrand"].map(brands).fillna("Others")
    prepared["age_bucket"] = prepared["age"].apply(
        lambda x: "u20" if x < 20 else "20-28" if x < 29 else "29-49" if x < 50 else "Others"
    )
    matrix = pd.get_dummies(prepared, columns=cat_cols).reindex(columns=features, fill_value=0).to_numpy(np.float32)
    assert list(scored_output["score"].values()) == pytest.approx(
        trained.predict_proba(matrix)[:, 1].tolist(), abs=1e-5
    )

    services = edge_utils.list_deployed_services()
    [ours] = [service for service in services if service["id"] == service_id]
    assert set(ours) == {"created", "deprecated", "id", "type", "updated"}
    assert ours["type"] == "edge" and ours["deprecated"] is False
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours["created"])
    assert ours["updated"] >= ours["created"]
    assert edge_utils.delete_from_edge(service_id=service_id)
    assert not edge_utils.delete_from_edge(service_id=service_id + "0")
    assert service_id not in [service["id"] for service in edge_utils.list_deployed_services()]


def test_the_node_reference_s_own_example(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "browser": rng.choice(["chrome", "firefox"], 200),
            "device": rng.choice(["Desktop", "Mobile"], 200),
            "login_page": rng.integers(0, 2, 200),
            "product_page": rng.integers(0, 9, 200),
            "search_page": rng.integers(0, 5, 200),
        }
    )
    frame["payment_confirm"] = (frame["product_page"] + frame["login_page"] * 3 > 6).astype(int)
    node_device_apply = Pandas(
        params={
            "import": "map",
            "kwargs": {"arg": {"Desktop": 1, "Mobile": 0}, "na_action": 0},
            "inplace": True,
            "cols": "device",
        }
    )
    node_browser_apply = Pandas(
        params={
            "import": "map",
            "kwargs": {"arg": {"chrome": 1, "firefox": 0}, "na_action": 0},
            "inplace": True,
            "cols": "browser",
        }
    )
    msg4 = node_browser_apply.process(node_device_apply.process(DataMsg(data=frame)))
    splitter = Split(params={"train_size": 0.7})
    msg5 = splitter.process(msg4)
    assert len(msg5.data.xs("train")) == 140 and len(msg5.data.xs("test")) == 60
    features = ["browser", "device", "login_page", "product_page", "search_page"]
    model_path = str(tmp_path / "resources" / "model.onnx")
    model_train = ScikitLearn(
        params={
            "features": features,
            "label": "payment_confirm",
            "mode": "train",
            "model_path": model_path,
            "params": {"model": "sklearn.linear_model.LogisticRegression", "model_params": {"solver": "lbfgs"}},
        }
    )
    msg6 = model_train.process(msg5)
    assert msg6.model["model_path"] == model_path
    model_id = ModelUpload(params={"model_path": model_path}).process(None, 1).model["model_id"]
    node_model_score = ONNXNode(params={"features": features, "model_id": model_id})
    nodes = [node_device_apply, node_browser_apply, node_model_score]
    dsl = GraphBuilder.generate_dsl(
        nodes=nodes, edges=[(node_device_apply, node_browser_apply), (node_browser_apply, node_model_score)]
    )
    graph = rtml.Graph.from_dsl(dsl, "payment")
    assert {c["name"]: c["type"] for c in graph.plan.inputs}["device"] == "string"
    out = graph.process(frame[features])
    wanted = model_train.estimator.predict_proba(msg4.data[features].to_numpy(np.float32))[:, 1]
    assert np.abs(out["probabilities_1"] - wanted).max() < 1e-5
