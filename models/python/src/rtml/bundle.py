"""Bundles: a graph with its models, its tests and where it comes from, in one file. docs/graph-format.md, Bundle."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GraphError
from .hashing import sha256
from .models import load_model
from .plan import Answer, Plan

if TYPE_CHECKING:
    from .graph import Graph

MAX_TESTS = 200
TOLERANCE = 1e-5
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """`content` is the zip file; `id` its SHA-256."""

    content: bytes
    document: dict[str, Any]
    provenance: dict[str, Any]
    tests: int

    @property
    def id(self) -> str:
        return sha256(self.content)

    def save(self, path: str | Path) -> Path:
        file = Path(path)
        file.write_bytes(self.content)
        return file

    def __repr__(self) -> str:
        return f"Bundle({self.document['name']!r}, {len(self.content):,} bytes, {self.tests} tests, id {self.id[:12]}…)"


def make_bundle(
    graph: Graph,
    path: str | Path | None = None,
    *,
    tests: Any = None,
    events: Sequence[Any] | None = None,
    profiles: Sequence[Any] | None = None,
    data: Any = None,
    metrics: Mapping[str, float] | None = None,
    notes: str | None = None,
    created: datetime | None = None,
    max_tests: int = MAX_TESTS,
) -> Bundle:
    """Packs a graph. `tests` are rows (a frame, records) or questions; at most `max_tests` of them, evenly
    taken, are kept with their answers.

    `data` is the frame that the model was trained on: its hash and size go into the provenance, not its rows.
    """
    questions = _some(_questions(graph, tests, events, profiles), max_tests)
    if not questions:
        raise GraphError(
            "TESTS", graph.name, "a bundle carries its own tests: give tests=, some rows that the graph answers."
        )
    answers = graph.run(questions)
    entries: dict[str, bytes] = {
        "graph.json": graph.to_json().encode(),
        "tests/input.jsonl": _lines(questions),
        "tests/expected.jsonl": _lines([expected_of(answer) for answer in answers]),
        "provenance.json": (
            json.dumps(_provenance(data, metrics, notes, created), indent=2, ensure_ascii=False) + "\n"
        ).encode(),
    }
    for model_id, content in graph.compiler.contents.items():
        entries[f"models/{model_id}.onnx"] = content
    for module_id, source in graph.compiler.modules.items():
        entries[f"modules/{module_id}.js"] = source.encode()
    bundle = Bundle(_zip(entries), graph.document, json.loads(entries["provenance.json"]), len(questions))
    if path is not None:
        bundle.save(path)
    return bundle


def _questions(
    graph: Graph, tests: Any, events: Sequence[Any] | None, profiles: Sequence[Any] | None
) -> list[dict[str, Any]]:
    if (
        isinstance(tests, list)
        and tests
        and all(isinstance(t, dict) and set(t) <= {"record", "event", "profile"} for t in tests)
    ):
        questions = tests
    elif tests is None and events is None and profiles is None:
        return []
    else:
        questions = graph.questions(tests, events=events, profiles=profiles)
    return questions


def _some(questions: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(questions) <= most:
        return questions
    return [questions[round(i * (len(questions) - 1) / (most - 1))] for i in range(most)]


def expected_of(answer: Answer) -> dict[str, Any]:
    line: dict[str, Any] = {"output": answer.output, "nodes": answer.nodes}
    if answer.failed is not None:
        line["failed"] = {"node": answer.failed.node, "column": answer.failed.column}
    written = {"xdm": answer.xdm, "scores": answer.scores, "attributes": answer.attributes}
    if any(written.values()):
        line["written"] = {what: values for what, values in written.items() if values}
    return line


def _lines(values: Sequence[Any]) -> bytes:
    return "".join(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" for value in values).encode()


def _provenance(
    data: Any, metrics: Mapping[str, float] | None, notes: str | None, created: datetime | None
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "created": (created or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "author": _author(),
        "versions": {"python": platform.python_version()},
    }
    for package in (
        "rtml",
        "numpy",
        "pandas",
        "onnx",
        "onnxruntime",
        "scikit-learn",
        "skl2onnx",
        "lightgbm",
        "tensorflow-cpu",
        "torch",
    ):
        try:
            made["versions"][package] = version(package)
        except PackageNotFoundError:
            continue
    if data is not None:
        import pandas as pd

        digest = hashlib.sha256(pd.util.hash_pandas_object(data, index=False).to_numpy().tobytes()).hexdigest()
        made["data"] = {"sha256": digest, "rows": len(data), "columns": [str(name) for name in data.columns]}
    if metrics:
        made["metrics"] = {name: float(value) for name, value in metrics.items()}
    if notes:
        made["notes"] = notes
    return made


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _zip(entries: Mapping[str, bytes]) -> bytes:
    """The same bytes for the same contents: fixed times, sorted names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(entries):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), entries[name], zipfile.ZIP_DEFLATED)
    return file.getvalue()


def open_bundle(source: str | Path | bytes) -> tuple[Plan, list[dict[str, Any]], list[dict[str, Any]]]:
    """The plan of a bundle, its questions and the answers expected. @raises GraphError BUNDLE"""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        document = json.loads(entries["graph.json"])
        questions = [json.loads(line) for line in entries["tests/input.jsonl"].splitlines()]
        expected = [json.loads(line) for line in entries["tests/expected.jsonl"].splitlines()]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise GraphError("BUNDLE", "bundle", f"this is no bundle: {error}. Make it with Graph.bundle.") from None
    models = {}
    modules = {}
    for name, data in entries.items():
        kind, _, file = name.partition("/")
        stem = file.rpartition(".")[0]
        if kind in ("models", "modules"):
            if sha256(data) != stem:
                raise GraphError(
                    "BUNDLE",
                    name,
                    "its bytes don't have the SHA-256 of its name: the bundle was changed. Make it again.",
                )
            if kind == "models":
                models[stem] = load_model(data, name)
            else:
                modules[stem] = data.decode()
    return Plan(document, models, modules), questions, expected


def verify_bundle(source: str | Path | bytes) -> int:
    """Runs a bundle's tests here and returns how many there were. @raises GraphError TESTS at the first row and node that differ"""
    plan, questions, expected = open_bundle(source)
    for row, (answer, wanted) in enumerate(zip(plan.run(questions), expected, strict=True)):
        got = expected_of(answer)
        for node in plan.order:
            difference = _difference(got["nodes"].get(node), wanted["nodes"].get(node))
            if difference:
                raise GraphError("TESTS", node, f"test {row + 1}: {difference}.")
        difference = _difference(got["output"], wanted["output"])
        if difference:
            raise GraphError("TESTS", plan.document["output"]["node"], f"test {row + 1}: {difference}.")
    return len(questions)


def _difference(got: dict[str, Any] | None, wanted: dict[str, Any] | None) -> str | None:
    if got is None or wanted is None:
        return None if got == wanted else f"got {got}, expected {wanted}"
    for name in {**wanted, **got}:
        if not _same(got.get(name), wanted.get(name)):
            return f'"{name}" is {got.get(name)!r}, expected {wanted.get(name)!r}'
    return None


def _same(got: Any, wanted: Any) -> bool:
    if isinstance(got, float) and isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        return abs(got - wanted) <= TOLERANCE * max(1.0, abs(wanted))
    return bool(got == wanted)
