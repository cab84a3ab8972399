"""Turns nodes into the steps of a graph document, checking types as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import NodeError
from .frame import Failures, Types
from .hashing import sha256
from .models import Model, ModelStore, load_model
from .ops import OPS, Context, StepError, ports_of

if TYPE_CHECKING:
    from .nodes.base import Node


class Compiler:
    """Collects steps, models and modules. `wanted` are the model features downstream: they name the columns of dummies."""

    def __init__(self, store: ModelStore | None = None, wanted: list[str] | None = None) -> None:
        self.store = store or ModelStore()
        self.wanted = wanted or []
        self.steps: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.types_of: dict[str, Types] = {}
        self.models: dict[str, Model] = {}
        self.contents: dict[str, bytes] = {}
        self.modules: dict[str, str] = {}
        self.tensors: dict[str, tuple[list[str], list[int]]] = {}
        self.made_by: dict[str, str] = {}
        self.model_columns: dict[str, list[str]] = {}
        self.score_columns: dict[str, str] = {}
        self._node: Node | None = None
        self._base = ""
        self._count = 0

    def start(self, node: Node, step_id: str) -> None:
        self._node, self._base, self._count = node, step_id, 0

    def step(self, op: str, params: dict[str, Any], feeds: Mapping[str, str]) -> str:
        """Adds a step that reads `feeds` (port to step). @raises NodeError when the columns don't fit"""
        assert self._node is not None
        self._count += 1
        name = self._base if self._count == 1 else f"{self._base}.{self._count}"
        label = self._node.name or self._base
        context = Context(self.models, self.modules, (), Failures(), name)
        inputs = {port: self.types_of[feed] for port, feed in feeds.items()}
        if set(inputs) != set(ports_of(op)):
            missing = next((port for port in ports_of(op) if port not in inputs), None)
            raise NodeError("PORT", label, "no edge ends here; connect a node to it.", port=missing)
        try:
            self.types_of[name] = OPS[op][0](params, inputs, context)
        except StepError as error:
            raise NodeError(error.code, label, str(error), port=error.port if ports_of(op) else None) from None
        self.steps.append({"id": name, "op": op, "title": type(self._node).__name__, "params": params})
        self.made_by[name] = self._base
        for port, feed in feeds.items():
            self.edges.append({"from": feed, "to": name, **({"port": port} if port != "in" else {})})
        return name

    def compute(self, name: str, expr: dict[str, Any], feed: str) -> str:
        return self.step("compute", {"as": name, "expr": expr}, {"in": feed})

    def types(self, step: str) -> Types:
        return self.types_of[step]

    def add_model(self, content: bytes, label: str) -> Model:
        model = load_model(content, label)
        self.models[model.id] = model
        self.contents[model.id] = content
        return model

    def add_module(self, source: str) -> str:
        module_id = sha256(source.encode())
        self.modules[module_id] = source
        return module_id
