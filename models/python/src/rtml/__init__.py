"""Authoring for rtml: nodes, graphs and bundles that run on streams and at the edge.

from rtml import Graph, Pandas, OneHotEncoder, ONNXNode
graph = Graph.chain("propensity", Pandas({"import": "fillna", "kwargs": {"value": 0}}), …)
graph.process(frame); graph.deploy(tests=frame)
"""

from .bundle import Bundle, make_bundle, open_bundle, verify_bundle
from .client import Client
from .engine import Engine, cli
from .errors import EdgeError, GraphError, ModelError, NodeError, RtmlError
from .expressions import parse
from .features import feature_columns, features, join_labels, split_by_time
from .graph import Graph
from .models import Model, ModelStore, convert, export_sklearn, load_model, quantise
from .nodes import (
    REGISTRY,
    Custom,
    DataMsg,
    FieldOps,
    FieldTrans,
    Filter,
    Frame2XDM,
    Join,
    JsonToDataframe,
    ModelUpload,
    Node,
    NumpyArrays,
    OneHotEncoder,
    ONNXNode,
    Pandas,
    Processor,
    PyTorch,
    Receiver,
    RTCPReader,
    RTCPWriter,
    ScikitLearn,
    Simulator,
    Split,
    TensorFlow,
    Union,
    XDM2Frame,
    fn,
    operator,
)

__version__ = "0.1.0"

__all__ = [
    "REGISTRY",
    "Bundle",
    "Client",
    "Custom",
    "DataMsg",
    "EdgeError",
    "Engine",
    "FieldOps",
    "FieldTrans",
    "Filter",
    "Frame2XDM",
    "Graph",
    "GraphError",
    "Join",
    "JsonToDataframe",
    "Model",
    "ModelError",
    "ModelStore",
    "ModelUpload",
    "Node",
    "NodeError",
    "NumpyArrays",
    "ONNXNode",
    "OneHotEncoder",
    "Pandas",
    "Processor",
    "PyTorch",
    "RTCPReader",
    "RTCPWriter",
    "Receiver",
    "RtmlError",
    "ScikitLearn",
    "Simulator",
    "Split",
    "TensorFlow",
    "Union",
    "XDM2Frame",
    "cli",
    "convert",
    "export_sklearn",
    "feature_columns",
    "features",
    "fn",
    "join_labels",
    "load_model",
    "make_bundle",
    "open_bundle",
    "operator",
    "parse",
    "quantise",
    "split_by_time",
    "verify_bundle",
]
