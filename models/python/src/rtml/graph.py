"""Graphs as authors compose them: nodes and edges, tried in the notebook, written as `graph.json`, packed as a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .compiler import Compiler
from .draw import svg
from .errors import GraphError, NodeError
from .frame import pandas_types, records
from .nodes.base import REGISTRY, Node
from .nodes.ml import ONNXNode
from .nodes.sources import Source, columns_of_types
from .ops import SINKS, SOURCES
from .plan import Answer, Document, Plan, Question

Edge = tuple[Any, ...]
"""(from, to) or (from, to, port). To a Join or Union, the first edge is the left one unless a port is named."""


class Graph:
    """Nodes with edges between them. It is compiled and checked when it is made.

    `inputs` {column: type} declares what the request has, where no source node does; without it the types are guessed from what the
    nodes do. `output`: columns of the answer (default: those that the last model made). `score`: the column that is the score.

    @raises GraphError, NodeError, ModelError naming the node and port at fault
    """

    def __init__(
        self,
        name: str,
        nodes: Sequence[Node],
        edges: Sequence[Edge],
        *,
        inputs: Mapping[str, Any] | None = None,
        output: Sequence[str] | None = None,
        score: str | None = None,
        description: str | None = None,
    ) -> None:
        self.name = name
        self.nodes = list(nodes)
        self.inputs = inputs
        self.ids = self._name_nodes()
        self.edges = self._read_edges(edges)
        self._output, self._score, self._description = output, score, description
        self._compile()

    @classmethod
    def chain(cls, name: str, *nodes: Node, **options: Any) -> Graph:
        """A graph of nodes one after the other."""
        return cls(name, nodes, list(zip(nodes, nodes[1:], strict=False)), **options)

    # Nodes and edges

    def _name_nodes(self) -> dict[int, str]:
        if not self.nodes:
            raise GraphError("EMPTY", self.name, "the graph has no nodes; give at least a source and a model.")
        ids: dict[int, str] = {}
        taken: set[str] = set()
        for node in self.nodes:
            if id(node) in ids:
                raise GraphError(
                    "DUPLICATE_NODE", node.label, "the same node stands twice in the list; make two of them."
                )
            base = node.suggested_id()[:80]
            name, count = base, 1
            while name in taken:
                count += 1
                name = f"{base}_{count}"
            if node.name and name != base:
                raise GraphError("DUPLICATE_NODE", node.name, "two nodes have this name; give one another.")
            taken.add(name)
            ids[id(node)] = name
        return ids

    def _read_edges(self, edges: Sequence[Edge]) -> list[tuple[Node, Node, str]]:
        used: dict[int, list[str]] = {}
        read = []
        for edge in edges:
            if len(edge) not in (2, 3):
                raise GraphError("PORT", self.name, f"an edge is (from, to) or (from, to, port), not {edge!r}.")
            for end in edge[:2]:
                if id(end) not in self.ids:
                    name = end.label if isinstance(end, Node) else repr(end)
                    raise GraphError(
                        "PORT", name, "an edge names this node, but it isn't in the list of nodes; add it there."
                    )
            start, end = edge[0], edge[1]
            ports = end.ports
            taken = used.setdefault(id(end), [])
            free = [port for port in ports if port not in taken]
            port = edge[2] if len(edge) == 3 else free[0] if free else ports[0] if ports else "in"
            name = self.ids[id(end)]
            if port not in ports:
                have = " and ".join(ports) if ports else "none: it is a source"
                raise GraphError("PORT", name, f"it has no such port; its ports are {have}.", port=port)
            if port in taken:
                raise GraphError("PORT", name, "two edges end here; put a Join or Union node between them.", port=port)
            taken.append(port)
            read.append((start, end, port))
        return read

    def _sorted(self) -> list[Node]:
        before: dict[int, set[int]] = {id(node): set() for node in self.nodes}
        for start, end, _ in self.edges:
            before[id(end)].add(id(start))
        by_id = {id(node): node for node in self.nodes}
        done: list[Node] = []
        finished: set[int] = set()
        while len(done) < len(self.nodes):
            ready = [node for node in self.nodes if id(node) not in finished and before[id(node)] <= finished]
            if not ready:
                at = next(key for key in before if key not in finished)
                seen: list[int] = []
                while at not in seen:
                    seen.append(at)
                    at = next(key for key in before[at] if key not in finished)
                head, *rest = [self.ids[id(by_id[key])] for key in seen[seen.index(at) :]]
                cycle = [head, *rest[::-1]]
                raise GraphError(
                    "CYCLE",
                    cycle[0],
                    f"the graph goes round: {' → '.join([*cycle, cycle[0]])}. Take one of these edges out.",
                )
            finished.update(id(node) for node in ready)
            done.extend(ready)
        return done

    def _implicit_inputs(self, order: list[Node], roots: list[Node]) -> list[dict[str, Any]]:
        if self.inputs is not None:
            return columns_of_types(roots[0], self.inputs)
        made: set[str] = set()
        needed: dict[str, str] = {}
        for node in order:
            if isinstance(node, Source):
                made.update(node.makes())
                continue
            for column, kind in node.needs().items():
                if column not in made and column not in needed and not self._dummy(column, order):
                    needed[column] = kind
            made.update(node.makes())
        if not needed:
            raise GraphError(
                "INPUTS", self.ids[id(roots[0])], "its input columns are not known; give Graph(inputs={column: type})."
            )
        return [{"name": column, "type": kind} for column, kind in needed.items()]

    @staticmethod
    def _dummy(column: str, order: list[Node]) -> bool:
        """Whether a get_dummies before the model makes this column."""
        for node in order:
            if getattr(node, "plain", None) == "get_dummies":
                starts = [*node.needs()]
                if any(column.startswith(f"{start}_") for start in starts):
                    return True
        return False

    # Compiling

    def _compile(self) -> None:
        order = self._sorted()
        wanted = [feature for node in order if isinstance(node, ONNXNode) for feature in node.features()]
        compiler = Compiler(wanted=wanted)
        feeds: dict[int, dict[str, Node]] = {id(node): {} for node in order}
        for start, end, port in self.edges:
            feeds[id(end)][port] = start
        last: dict[int, str] = {}
        implicit: str | None = None
        roots = [node for node in order if node.ports and not feeds[id(node)]]
        if roots:
            source = _Input({"columns": {}}, name="input", columns=self._implicit_inputs(order, roots))
            compiler.start(source, "input")
            implicit = source.compile(compiler, {})
        for node in order:
            inputs = {port: last[id(start)] for port, start in feeds[id(node)].items()}
            if implicit is not None and node.ports and not inputs:
                inputs = {node.ports[0]: implicit}
            for port in node.ports:
                if port not in inputs:
                    raise GraphError("PORT", self.ids[id(node)], "no edge ends here; connect a node to it.", port=port)
            compiler.start(node, self.ids[id(node)])
            last[id(node)] = node.compile(compiler, inputs)
        self.compiler = compiler
        self.document = self._document(compiler, order, last)
        self.plan = Plan(self.document, compiler.models, compiler.modules)

    def _document(self, compiler: Compiler, order: list[Node], last: dict[int, str]) -> Document:
        read = {id(start) for start, _, _ in self.edges}
        ends = [node for node in order if id(node) not in read]
        ops = {step["id"]: step["op"] for step in compiler.steps}
        plain = [node for node in ends if ops[last[id(node)]] not in SINKS]
        if len(plain) > 1:
            names = ", ".join(self.ids[id(node)] for node in plain)
            raise GraphError(
                "UNUSED",
                self.ids[id(plain[0])],
                f"nothing reads {names}: a graph has one result. Join them, or take them out.",
            )
        end = last[id((plain or ends)[-1])]
        types = compiler.types(end)
        made = [
            name
            for step, names in compiler.model_columns.items()
            for name in names
            if name in types and self._before(compiler, step, end)
        ]
        columns = list(self._output) if self._output is not None else made or list(types)
        score = self._score or next(
            (
                name
                for step, name in reversed(list(compiler.score_columns.items()))
                if name in columns and self._before(compiler, step, end)
            ),
            next((name for name in columns if types.get(name) != "string"), None),
        )
        for name in [*columns, *([score] if score else [])]:
            if name not in types:
                raise NodeError(
                    "MISSING_COLUMN",
                    end,
                    f'the output wants the column "{name}"; it makes {", ".join(list(types)[:20])}.',
                )
        document: Document = {
            "format": "rtml-graph",
            "version": 1,
            "name": self.name,
            **({"description": self._description} if self._description else {}),
            "nodes": compiler.steps,
            "edges": compiler.edges,
            "output": {"node": end, "columns": columns, **({"score": score} if score in columns else {})},
        }
        if compiler.models:
            document["models"] = {
                key: {
                    "bytes": len(compiler.contents[key]),
                    "irVersion": model.ir_version,
                    "opset": {d or "ai.onnx": v for d, v in model.opset.items()},
                }
                for key, model in sorted(compiler.models.items())
            }
        if compiler.modules:
            document["modules"] = {key: {"bytes": len(text.encode())} for key, text in sorted(compiler.modules.items())}
        return document

    @staticmethod
    def _before(compiler: Compiler, step: str, end: str) -> bool:
        reached = {end}
        for edge in reversed(compiler.edges):
            if edge["to"] in reached:
                reached.add(edge["from"])
        return step in reached

    # Using

    def run(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer a question `{"record": {…}, "event": {…}, "profile": {…}}`, with what every node made of it."""
        return self.plan.run(questions)

    def process(self, data: Any, *, events: Sequence[Any] | None = None, profiles: Sequence[Any] | None = None) -> Any:
        """The output columns for a pandas frame, records or `{column: {row: value}}`; a filtered or failed row is all NaN or None."""
        import pandas as pd

        questions = self.questions(data, events=events, profiles=profiles)
        answers = self.run(questions)
        columns = self.document["output"]["columns"]
        types = self.plan.types[self.document["output"]["node"]]
        rows = [
            [_back(answer.output[name], types[name]) if answer.output else None for name in columns]
            for answer in answers
        ]
        index = data.index if hasattr(data, "index") and len(data) == len(rows) else None
        return pd.DataFrame(rows, columns=columns, index=index)

    def questions(
        self, data: Any, *, events: Sequence[Any] | None = None, profiles: Sequence[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Rows as questions, with only the columns that the graph's `input` reads."""
        length = len(events) if events is not None else len(profiles) if profiles is not None else 0
        rows = records(data) if data is not None else [{} for _ in range(length)]
        wanted = {column["name"] for column in self.plan.inputs}
        questions: list[dict[str, Any]] = [{"record": {k: v for k, v in row.items() if k in wanted}} for row in rows]
        for key, given in (("event", events), ("profile", profiles)):
            if given is not None:
                if len(given) != len(questions):
                    raise ValueError(f"{len(questions)} rows have {len(given)} {key}s; give one each")
                for question, one in zip(questions, given, strict=True):
                    question[key] = one
        return questions

    def to_json(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"

    def save(self, path: str | Path) -> Path:
        file = Path(path)
        file.write_text(self.to_json(), encoding="utf-8")
        return file

    def bundle(self, path: str | Path | None = None, *, tests: Any = None, **provenance: Any) -> Any:
        """Graph, models, tests and provenance as one file: `rtml.bundle.make_bundle`."""
        from .bundle import make_bundle

        return make_bundle(self, path, tests=tests, **provenance)

    def deploy(
        self,
        *,
        tests: Any = None,
        service: str | None = None,
        deploy: str = "both",
        client: Any = None,
        **provenance: Any,
    ) -> Any:
        """Packs the graph and gives it to the running engine; its service answers when this returns.

        `deploy`: hub, edge or both. The stream feeds it by name, so hub and both want every input among the application's features.
        """
        from .client import Client

        client = client or Client()
        name = service or self.name
        pushed = client.push(self.bundle(tests=tests, **provenance), service=name, deploy=deploy)
        client.wait_until_served(name, pushed["version"])
        return pushed

    # Showing

    def _repr_svg_(self) -> str:
        kinds = {**dict.fromkeys(SOURCES, "source"), **dict.fromkeys(SINKS, "sink"), "onnx": "model", "custom": "model"}
        first = {
            base: step["op"] for step in reversed(self.compiler.steps) for base in [self.compiler.made_by[step["id"]]]
        }
        boxes = [
            (
                (self.ids[id(node)], node.name or type(node).__name__, node.summary()),
                kinds.get(first[self.ids[id(node)]], "step"),
            )
            for node in self.nodes
        ]
        edges = [(self.ids[id(start)], self.ids[id(end)], port) for start, end, port in self.edges]
        if "input" in first and "input" not in self.ids.values():
            columns = ", ".join(column["name"] for column in self.plan.inputs)
            boxes.insert(0, (("input", "input", columns), "source"))
            fed = {end for _, end, _ in edges}
            edges += [
                ("input", self.ids[id(node)], "in")
                for node in self.nodes
                if node.ports and self.ids[id(node)] not in fed
            ]
        return svg(boxes, edges, f"graph {self.name}")

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {len(self.nodes)} nodes, {len(self.document['nodes'])} steps → {', '.join(self.document['output']['columns'][:6])})"

    # The published form

    def to_dsl(self) -> str:
        """The graph as `{"edge": {"applicationDsl": {"nodes": […], "edges": […]}}}`; nodes with ids, for GraphBuilder."""
        return dsl_of(self.nodes, [(start, end, port) for start, end, port in self.edges])

    @classmethod
    def from_dsl(cls, dsl: str | Mapping[str, Any], name: str) -> Graph:
        """@raises GraphError DSL when the text is no DSL of this package"""
        try:
            body = (json.loads(dsl) if isinstance(dsl, str) else dsl)["edge"]["applicationDsl"]
            nodes = [make_node(entry) for entry in body["nodes"]]
            edges = [(nodes[edge["from"]], nodes[edge["to"]], edge.get("port", "in")) for edge in body["edges"]]
        except NodeError:
            raise
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise GraphError(
                "DSL", name, f"this is no DSL: {error!r} is missing or wrong. Make it with GraphBuilder.generate_dsl."
            ) from None
        return cls(name, nodes, edges)


def dsl_of(nodes: Sequence[Node], edges: Sequence[Edge]) -> str:
    """Edges name nodes by their place in the list: published notebooks give a node another id without touching edges."""
    place = {id(node): i for i, node in enumerate(nodes)}
    lines = []
    for edge in edges:
        line: dict[str, Any] = {"from": place[id(edge[0])], "to": place[id(edge[1])]}
        if len(edge) == 3 and edge[2] != "in":
            line["port"] = edge[2]
        lines.append(line)
    return json.dumps({"edge": {"applicationDsl": {"nodes": [node.to_dsl() for node in nodes], "edges": lines}}})


def make_node(entry: Mapping[str, Any]) -> Node:
    kind = str(entry["type"]).rpartition(".")[2]
    if kind not in REGISTRY or kind.startswith("_"):
        raise GraphError(
            "DSL",
            str(entry.get("name") or entry["id"]),
            f"there is no node type {kind}; there are {', '.join(k for k in REGISTRY if k[0] != '_')}.",
        )
    node = REGISTRY[kind](entry.get("params") or {}, name=entry.get("name"))
    node.id = str(entry["id"])
    return node


def run_node(node: Node, frames: Mapping[str, Any]) -> Any:
    """One node's steps on a pandas frame, as the deployed graph would do them. The index stays; failed rows raise.

    @raises NodeError ROW when a row can't be computed
    """
    import pandas as pd

    frame = frames["in"]
    types = pandas_types(frame)
    compiler = Compiler()
    source = _Input({"columns": {}}, name="input", columns=[{"name": n, "type": t} for n, t in types.items()])
    compiler.start(source, "input")
    at = source.compile(compiler, {})
    compiler.start(node, node.suggested_id())
    end = node.compile(compiler, {"in": at})
    columns = list(compiler.types(end))
    document = {
        "format": "rtml-graph",
        "version": 1,
        "name": "try",
        "nodes": compiler.steps,
        "edges": compiler.edges,
        "output": {"node": end, "columns": columns},
    }
    plan = Plan(document, compiler.models, compiler.modules)
    done, failures = plan.frames([{"record": row} for row in records(frame)])
    if failures.of_row:
        row, failure = next(iter(failures.of_row.items()))
        raise node.error("ROW", f'row {frame.index[row]!r}, column "{failure.column}": {failure.reason}.')
    out = done[end]
    made = pd.DataFrame({name: out.columns[name] for name in columns}, index=frame.index[out.rows])
    # Whole numbers went through as float64; those that came back unchanged are whole numbers again.
    for name in columns:
        if (
            name in frame.columns
            and frame[name].dtype.kind in "iu"
            and made[name].equals(frame[name].iloc[out.rows].astype(made[name].dtype))
        ):
            made[name] = made[name].astype(frame[name].dtype)
    return made


def _back(value: Any, kind: str) -> Any:
    if kind in ("string", "bool", "int64"):
        return value
    return np.nan if value is None else float(value)


class _Input(Source):
    """The source that a graph without one gets."""

    known = ("columns",)

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        columns: list[dict[str, Any]] | None = None,
    ) -> None:
        self._columns = columns or []
        super().__init__(params, name=name)

    def source_columns(self) -> list[dict[str, Any]]:
        return self._columns
