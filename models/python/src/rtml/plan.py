"""A checked graph document, ready to run: the reference that the TypeScript scorer is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jsonschema

from .errors import GraphError, NodeError
from .frame import Failure, Failures, Frame, Types, to_json
from .models import Model
from .ops import OPS, SINKS, SOURCES, Context, StepError, ports_of
from .paths import write_path

MAX_COLUMNS = 4096

Document = dict[str, Any]
Question = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one row came to. `output` is None for a row that was filtered or has failed."""

    output: dict[str, Any] | None
    failed: Failure | None
    nodes: dict[str, dict[str, Any]]
    xdm: dict[str, Any]
    scores: dict[str, Any]
    attributes: dict[str, Any]


@lru_cache(maxsize=1)
def _validator() -> Any:
    schema = json.loads(files("rtml").joinpath("graph.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def validate(document: Document) -> None:
    """@raises GraphError SCHEMA with the place of the first fault"""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    for error in _validator().iter_errors(document):
        path = list(error.absolute_path)
        best = error
        if len(path) >= 2 and path[0] == "nodes" and isinstance(nodes, list) and error.context:
            # oneOf over ops: only the branch of the node's own op says something.
            op = nodes[path[1]].get("op") if isinstance(nodes[path[1]], dict) else None
            if op not in OPS:
                raise GraphError(
                    "SCHEMA", _id_at(document, path), f"there is no op {op!r}; there are {', '.join(OPS)}."
                )
            own = list(OPS).index(op)
            branch = [e for e in error.context if e.schema_path[0] == own]
            best = branch[0] if branch else error
        where = ".".join(str(step) for step in best.absolute_path) or "the document"
        raise GraphError("SCHEMA", _id_at(document, path), f"{where}: {best.message[:300]}. See docs/graph-format.md.")


def _id_at(document: Any, path: list[Any]) -> str:
    if len(path) >= 2 and path[0] == "nodes":
        node = document["nodes"][path[1]]
        return str(node.get("id", path[1])) if isinstance(node, dict) else str(path[1])
    return str(document.get("name", "graph")) if isinstance(document, dict) else "graph"


class Plan:
    """Nodes in an order in which each comes after those that it reads, and the types that each makes.

    @raises GraphError SCHEMA, CYCLE, PORT, UNUSED, DUPLICATE_NODE; NodeError with the code of the step that doesn't fit
    """

    def __init__(
        self, document: Document, models: Mapping[str, Model], modules: Mapping[str, str] | None = None
    ) -> None:
        validate(document)
        self.document = document
        self.models = models
        self.modules = modules or {}
        self.nodes: dict[str, dict[str, Any]] = {}
        for node in document["nodes"]:
            if node["id"] in self.nodes:
                raise GraphError("DUPLICATE_NODE", node["id"], "two nodes have this id; give one another.")
            self.nodes[node["id"]] = node
        self.feeds = self._wire()
        self.order = self._sort()
        self.types: dict[str, Types] = {}
        context = Context(models, self.modules, (), Failures())
        for name in self.order:
            self.types[name] = self._check(name, context)
        self._check_output()

    def _wire(self) -> dict[str, dict[str, str]]:
        feeds: dict[str, dict[str, str]] = {name: {} for name in self.nodes}
        for edge in self.document["edges"]:
            for end in ("from", "to"):
                if edge[end] not in self.nodes:
                    raise GraphError(
                        "PORT", edge[end], "an edge names this node, but the graph hasn't one of that name."
                    )
            port, to = edge.get("port", "in"), edge["to"]
            ports = ports_of(self.nodes[to]["op"])
            if port not in ports:
                have = " and ".join(ports) if ports else "none: it is a source"
                raise GraphError("PORT", to, f"it has no such port; its ports are {have}.", port=port)
            if port in feeds[to]:
                raise GraphError(
                    "PORT",
                    to,
                    f"two edges end here ({feeds[to][port]} and {edge['from']}). Join them first.",
                    port=port,
                )
            feeds[to][port] = edge["from"]
        for name, given in feeds.items():
            for port in ports_of(self.nodes[name]["op"]):
                if port not in given:
                    raise GraphError("PORT", name, "no edge ends here; connect a node to it.", port=port)
        return feeds

    def _sort(self) -> list[str]:
        order: list[str] = []
        waiting = {name: set(given.values()) for name, given in self.feeds.items()}
        while waiting:
            ready = [name for name, before in waiting.items() if not before - set(order)]
            if not ready:
                cycle = self._cycle(waiting)
                raise GraphError(
                    "CYCLE",
                    cycle[0],
                    f"the graph goes round: {' → '.join([*cycle, cycle[0]])}. Take one of these edges out.",
                )
            for name in ready:
                del waiting[name]
            order.extend(ready)
        return order

    @staticmethod
    def _cycle(waiting: Mapping[str, set[str]]) -> list[str]:
        at = next(iter(waiting))
        seen: list[str] = []
        while at not in seen:
            seen.append(at)
            at = next(name for name in waiting[at] if name in waiting)
        start, *rest = seen[seen.index(at) :]
        return [start, *rest[::-1]]

    def _check(self, name: str, context: Context) -> Types:
        node = self.nodes[name]
        try:
            types = OPS[node["op"]][0](
                node["params"], {port: self.types[f] for port, f in self.feeds[name].items()}, context
            )
        except StepError as error:
            raise NodeError(error.code, name, str(error), port=error.port if ports_of(node["op"]) else None) from None
        if len(types) > MAX_COLUMNS:
            raise NodeError(
                "TOO_WIDE", name, f"it makes {len(types):,} columns, at most {MAX_COLUMNS:,} are allowed; select fewer."
            )
        return types

    def _check_output(self) -> None:
        output = self.document["output"]
        if output["node"] not in self.nodes:
            raise GraphError(
                "PORT", output["node"], "the output names this node, but the graph hasn't one of that name."
            )
        types = self.types[output["node"]]
        for name in output["columns"]:
            if name not in types:
                raise NodeError(
                    "MISSING_COLUMN",
                    output["node"],
                    f'the output wants the column "{name}"; it makes {", ".join(types)}.',
                )
        if "score" in output and (output["score"] not in output["columns"] or types[output["score"]] == "string"):
            raise NodeError(
                "TYPE", output["node"], f'the score "{output["score"]}" must be a number among the output\'s columns.'
            )
        used = {output["node"], *(name for name, node in self.nodes.items() if node["op"] in SINKS)}
        for name in reversed(self.order):
            if name in used:
                used.update(self.feeds[name].values())
        unused = [name for name in self.order if name not in used]
        if unused:
            raise GraphError(
                "UNUSED",
                unused[0],
                f"nothing reads it, and it isn't the output ({output['node']}). Connect it or take it out.",
            )

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Columns that a question's record has."""
        return [column for node in self.nodes.values() if node["op"] == "input" for column in node["params"]["columns"]]

    def frames(self, questions: Sequence[Question]) -> tuple[dict[str, Frame], Failures]:
        """Each node's frame for a batch of questions."""
        failures = Failures()
        done: dict[str, Frame] = {}
        for name in self.order:
            node = self.nodes[name]
            context = Context(self.models, self.modules, questions, failures, name)
            inputs = {port: done[feed] for port, feed in self.feeds[name].items()}
            done[name] = OPS[node["op"]][1](node["params"], inputs, context)
        return done, failures

    def run(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question, in order: `{"record": {…}, "event": {…}, "profile": {…}}`."""
        frames, failures = self.frames(questions)
        places = {name: {int(row): i for i, row in enumerate(frame.rows)} for name, frame in frames.items()}
        return [self._answer(row, frames, places, failures) for row in range(len(questions))]

    def _answer(
        self, row: int, frames: dict[str, Frame], places: dict[str, dict[int, int]], failures: Failures
    ) -> Answer:
        output = self.document["output"]
        result = values_at(frames[output["node"]], output["columns"], places[output["node"]].get(row))
        failed = failures.of_row.get(row)
        if failed is not None and result is not None and self._leads(failed.node, output["node"]):
            result = None
        nodes = {}
        xdm: dict[str, Any] = {}
        scores: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        for name in self.order:
            place = places[name].get(row)
            made = values_at(frames[name], self._changed(name), place)
            if made is not None:
                nodes[name] = made
            if place is None or self.nodes[name]["op"] not in SINKS:
                continue
            params = self.nodes[name]["params"]
            for path, column in params.get("columns", {}).items():
                value = to_json(frames[name].columns[column][place], frames[name].types[column])
                if value is not None:
                    write_path(xdm, path, value)
            for kept, key in ((scores, "scores"), (attributes, "attributes")):
                for what, column in params.get(key, {}).items():
                    value = to_json(frames[name].columns[column][place], frames[name].types[column])
                    if value is not None:
                        kept[what] = value
        return Answer(result, failed if result is None else None, nodes, xdm, scores, attributes)

    def _leads(self, start: str, end: str) -> bool:
        reached = {end}
        for name in reversed(self.order):
            if name in reached:
                reached.update(self.feeds[name].values())
        return start in reached

    @lru_cache(maxsize=1024)  # noqa: B019 (a plan lives as long as its cache)
    def _changed(self, name: str) -> tuple[str, ...]:
        """The columns that a node made or may have changed: what expected.jsonl keeps of it."""
        node, params = self.nodes[name], self.nodes[name]["params"]
        op, types = node["op"], self.types[name]
        if op in SOURCES:
            return tuple(types)
        if op in ("map", "compute", "bin"):
            return (params["as"],)
        if op in ("fill", "cast"):
            return tuple(params["values" if op == "fill" else "columns"])
        if op == "onehot":
            return tuple(
                n
                for n in types
                if n in params["names"] or (params.get("unknown") == "other" and n == params.get("other"))
            )
        if op == "onnx":
            return tuple(entry["as"] for entry in params["outputs"])
        if op == "custom":
            return tuple(entry["name"] for entry in params["outputs"])
        if op in ("join", "union"):
            return tuple(types)
        return ()


def values_at(frame: Frame, names: Sequence[str], place: int | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {name: to_json(frame.columns[name][place], frame.types[name]) for name in names}
