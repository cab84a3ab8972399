"""What every node is: it tries itself on a pandas frame, and it becomes steps of a graph."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import NodeError

if TYPE_CHECKING:
    from ..compiler import Compiler


@dataclass
class DataMsg:
    """What a node hands on. `data` is a pandas frame (or what the caller gave), `model` what is known of a model."""

    data: Any = None
    model: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Any] = field(default_factory=dict)
    xdm: list[dict[str, Any]] = field(default_factory=list)
    profile: list[dict[str, Any]] = field(default_factory=list)

    def replace(self, **changes: Any) -> DataMsg:
        return DataMsg(**{**self.__dict__, **changes})


REGISTRY: dict[str, type[Node]] = {}


class Node:
    """A node of a graph. `params` is kept as given; a subclass checks it when it is made."""

    type_name: ClassVar[str] = "Node"
    module: ClassVar[str] = ""
    ports: ClassVar[tuple[str, ...]] = ("in",)
    known: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        REGISTRY[cls.__name__] = cls

    def __init__(self, params: Mapping[str, Any] | None = None, *, name: str | None = None) -> None:
        self.params: dict[str, Any] = dict(params or {})
        self.id = str(uuid.uuid4())
        self.name = name
        for key in self.params:
            if self.known and key not in self.known:
                raise self.error("PARAMS", f'there is no parameter "{key}"; there are {", ".join(self.known)}.')
        for key in self.required:
            if key not in self.params:
                raise self.error("PARAMS", f'the parameter "{key}" is missing. It takes {", ".join(self.known)}.')
        self.setup()

    def setup(self) -> None:
        """Checks and reads `params`."""

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return self.name or type(self).__name__

    def suggested_id(self) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", self.name or type(self).__name__.lower()).strip("_.-") or "node"

    def summary(self) -> str:
        """One line for the drawing."""
        return ""

    def error(self, code: str, message: str, *, port: str | None = None) -> NodeError:
        return NodeError(code, self.label, message, port=port)

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        """Does the node's work on the frame of a message, with pandas, for the notebook."""
        raise NotImplementedError

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        """Adds steps that read the nodes in `inputs` (port to step) and returns the last of them."""
        raise NotImplementedError

    def needs(self) -> dict[str, str]:
        """Columns that it reads, with the type to assume when no source declares them."""
        return {}

    def makes(self) -> list[str]:
        """Columns that it adds."""
        return []

    def to_dsl(self) -> dict[str, Any]:
        """The node as JSON. @raises NodeError SERIALISE when a parameter is a function or another Python object"""
        try:
            params = json.loads(json.dumps(self.params, default=self._refuse))
        except TypeError as error:
            raise self.error("SERIALISE", f"a key of its parameters can't be written as JSON: {error}.") from None
        return {"id": self.id, "name": self.name, "type": type(self).__name__, "params": params}

    def _refuse(self, value: Any) -> Any:
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return value.item()
        if hasattr(value, "tolist"):
            return value.tolist()
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        if hasattr(value, "isoformat"):
            return value.isoformat()
        if value in (int, float, str, bool, object):
            return value.__name__
        what = "a function" if callable(value) else f"a {type(value).__name__}"
        raise self.error(
            "SERIALISE",
            f"one of its parameters is {what}: {getattr(value, '__name__', value)!r:.80}. Functions can't be serialised. "
            "Write it as an expression (FieldOps, or Pandas with import eval), a dict for map, or a Custom node.",
        )

    def frame_of(self, msg: DataMsg | None) -> Any:
        import pandas as pd

        if msg is None or msg.data is None:
            raise self.error(
                "INPUT", "it got no frame. Give it the message of the node before: node.process(msg).", port="in"
            )
        data = msg.data
        return data if isinstance(data, pd.DataFrame) else pd.DataFrame(data)

    def column_of(self, frame: Any, name: str) -> Any:
        if name not in frame.columns:
            near = ", ".join(str(column) for column in list(frame.columns)[:20])
            raise self.error(
                "MISSING_COLUMN", f'there is no column "{name}". The frame has {near or "no columns"}.', port="in"
            )
        return frame[name]


def as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
