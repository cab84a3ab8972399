"""Where results go: RTCPWriter, Frame2XDM."""

from __future__ import annotations

from typing import Any

from ..compiler import Compiler
from ..frame import records
from ..paths import steps, write_path
from .base import DataMsg, Node


class RTCPWriter(Node):
    """Results into the profile: `scores` {name: column}, `attributes` {path: column}; once an event, by its id."""

    module = "rtml_nodelibs.nodes.standard.profile.writer"
    known = ("scores", "attributes")

    def setup(self) -> None:
        if not self.params.get("scores") and not self.params.get("attributes"):
            raise self.error("PARAMS", "it writes nothing; give scores or attributes.")

    def summary(self) -> str:
        return ", ".join([*(self.params.get("scores") or {}), *(self.params.get("attributes") or {})])

    def needs(self) -> dict[str, str]:
        return dict.fromkeys(
            [*(self.params.get("scores") or {}).values(), *(self.params.get("attributes") or {}).values()], "float64"
        )

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        frame = self.frame_of(msg)
        assert msg is not None
        for column in self.needs():
            self.column_of(frame, column)
        written: list[dict[str, Any]] = []
        for row in records(frame):
            one: dict[str, Any] = {"scores": {}, "attributes": {}}
            for name, column in (self.params.get("scores") or {}).items():
                if row[column] is not None:
                    one["scores"][name] = row[column]
            for path, column in (self.params.get("attributes") or {}).items():
                if row[column] is not None:
                    one["attributes"][path] = row[column]
            written.append(one)
        return msg.replace(profile=written)

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        params = {key: dict(self.params[key]) for key in self.known if self.params.get(key)}
        return compiler.step("profile-write", params, inputs)


class Frame2XDM(Node):
    """An XDM object a row: `columns` {path: column}; null leaves the path out. `tenant` is put in front of paths that have none."""

    module = "rtml_nodelibs.nodes.standard.xdm.frame_to_xdm"
    known = ("columns", "tenant")
    required = ("columns",)

    def setup(self) -> None:
        tenant = self.params.get("tenant")
        self.columns = {}
        for path, column in self.params["columns"].items():
            full = f"{tenant}.{path}" if tenant and not path.startswith("_") else path
            try:
                if not all(isinstance(step, str) and step != "*" for step in steps(full)):
                    raise ValueError("only names can be written to, no [ ]")
            except ValueError as error:
                raise self.error("PATH", f'"{full}": {error}.') from None
            self.columns[full] = column

    def summary(self) -> str:
        return ", ".join(self.columns)

    def needs(self) -> dict[str, str]:
        return dict.fromkeys(self.columns.values(), "float64")

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        frame = self.frame_of(msg)
        assert msg is not None
        for column in self.columns.values():
            self.column_of(frame, column)
        made = []
        for row in records(frame):
            one: dict[str, Any] = {}
            for path, column in self.columns.items():
                if row[column] is not None:
                    write_path(one, path, row[column])
            made.append(one)
        return msg.replace(xdm=made)

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        return compiler.step("xdm", {"columns": self.columns}, inputs)
