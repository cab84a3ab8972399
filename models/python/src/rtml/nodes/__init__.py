"""The nodes. Each has a page section in docs/nodes.md."""

from .base import REGISTRY, DataMsg, Node
from .custom import Custom, Processor, fn, operator
from .fields import FieldOps, FieldTrans, Filter, Join, NumpyArrays, OneHotEncoder, Split, Union
from .ml import ModelUpload, ONNXNode, PyTorch, ScikitLearn, TensorFlow
from .pandas_node import Pandas
from .sinks import Frame2XDM, RTCPWriter
from .sources import JsonToDataframe, Receiver, RTCPReader, Simulator, XDM2Frame

__all__ = [
    "REGISTRY",
    "Custom",
    "DataMsg",
    "FieldOps",
    "FieldTrans",
    "Filter",
    "Frame2XDM",
    "Join",
    "JsonToDataframe",
    "ModelUpload",
    "Node",
    "NumpyArrays",
    "ONNXNode",
    "OneHotEncoder",
    "Pandas",
    "Processor",
    "PyTorch",
    "RTCPReader",
    "RTCPWriter",
    "Receiver",
    "ScikitLearn",
    "Simulator",
    "Split",
    "TensorFlow",
    "Union",
    "XDM2Frame",
    "fn",
    "operator",
]
