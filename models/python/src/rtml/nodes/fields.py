"""Columns in, columns out: FieldOps, FieldTrans, OneHotEncoder, NumpyArrays, Join, Union, Filter, Split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..compiler import Compiler
from ..expressions import ExpressionError, columns_of, parse
from ..frame import infer_type
from ..models import numpy_type
from .base import DataMsg, Node, as_list


class Stepwise(Node):
    """A node whose work in the notebook is that of its own steps: one implementation, nothing to drift."""

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        from ..graph import run_node

        frame = self.frame_of(msg)
        assert msg is not None
        return msg.replace(data=run_node(self, {"in": frame}))

    def read(self, text: Any) -> dict[str, Any]:
        if isinstance(text, dict):
            return text
        try:
            return parse(str(text))
        except ExpressionError as error:
            raise self.error("EXPRESSION", f"{error}.") from None


class FieldOps(Stepwise):
    """Whole-column operations in the order in which they are written: fill, cast, create, where, rename, drop, select."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.fieldops"
    known = ("fill", "cast", "create", "where", "rename", "drop", "select")

    def setup(self) -> None:
        if not self.params:
            raise self.error("PARAMS", f"it does nothing; give at least one of {', '.join(self.known)}.")
        for text in [*(self.params.get("create") or {}).values(), *as_list(self.params.get("where"))]:
            self.read(text)

    def summary(self) -> str:
        return ", ".join(self.params)

    def needs(self) -> dict[str, str]:
        made: set[str] = set()
        needed: dict[str, str] = {}
        for key, value in self.params.items():
            names: dict[str, str] = {}
            if key == "fill":
                names = {name: infer_type([filler]) for name, filler in value.items()}
            elif key == "create":
                for name, text in value.items():
                    needed.update({c: "float64" for c in columns_of(self.read(text)) if c not in made | set(needed)})
                    made.add(name)
            elif key == "where":
                names = dict.fromkeys(columns_of(self.read(value)), "float64")
            elif key in ("cast", "rename"):
                names = dict.fromkeys(value, "float64")
            elif key == "select":
                names = dict.fromkeys(as_list(value), "float64")
            needed.update({n: k for n, k in names.items() if n not in made and n not in needed})
            if key == "rename":
                made.update(value.values())
        return needed

    def makes(self) -> list[str]:
        return [*(self.params.get("create") or {}), *(self.params.get("rename") or {}).values()]

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        at = inputs["in"]
        for key, value in self.params.items():
            if key == "fill":
                at = compiler.step("fill", {"values": value}, {"in": at})
            elif key == "cast":
                at = compiler.step("cast", {"columns": value}, {"in": at})
            elif key == "rename":
                at = compiler.step("rename", {"columns": value}, {"in": at})
            elif key == "where":
                at = compiler.step("filter", {"where": self.read(value)}, {"in": at})
            elif key == "select":
                at = compiler.step("select", {"columns": as_list(value)}, {"in": at})
            elif key == "drop":
                for name in as_list(value):
                    if name not in compiler.types(at):
                        raise self.error("MISSING_COLUMN", f'there is no column "{name}" to drop.', port="in")
                kept = [name for name in compiler.types(at) if name not in as_list(value)]
                at = compiler.step("select", {"columns": kept}, {"in": at})
            else:
                for name, text in value.items():
                    at = compiler.compute(name, self.read(text), at)
        return at


class FieldTrans(Stepwise):
    """Values of columns: `columns` {name: transform}. Transforms: log1p, sqrt, abs, lower, upper, strip, standardize, minmax, or
    {clip: [low, high]}, {scale: {mean, std}}, {minmax: {min, max}}, {bin: {edges, labels, right}}, {hash: buckets}, {map: {…}}.

    `standardize` and `minmax` learn their figures from the first frame that the node processes, and keep them.
    """

    module = "rtml_nodelibs.nodes.standard.preprocessing.fieldtrans"
    known = ("columns", "suffix")
    required = ("columns",)
    plain = ("log1p", "sqrt", "abs", "lower", "upper", "strip")
    learnt = ("standardize", "minmax")
    shaped = ("clip", "scale", "minmax", "bin", "hash", "map")

    def setup(self) -> None:
        for name, what in self.params["columns"].items():
            kind = what if isinstance(what, str) else next(iter(what), None) if isinstance(what, dict) else None
            allowed = (*self.plain, *self.learnt) if isinstance(what, str) else self.shaped
            if kind not in allowed:
                raise self.error(
                    "PARAMS",
                    f'"{name}" has the transform {what!r}; there are {", ".join((*self.plain, *self.learnt, *self.shaped))}.',
                )

    def summary(self) -> str:
        return ", ".join(self.params["columns"])

    def needs(self) -> dict[str, str]:
        texts = {"lower", "upper", "strip", "hash"}
        return {
            name: "string" if (what if isinstance(what, str) else next(iter(what))) in texts else "float64"
            for name, what in self.params["columns"].items()
        }

    def makes(self) -> list[str]:
        return [f"{name}{self.params.get('suffix', '')}" for name in self.params["columns"]]

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        frame = self.frame_of(msg)
        columns = dict(self.params["columns"])
        for name, what in columns.items():
            if what == "standardize":
                series = self.column_of(frame, name).astype(float)
                columns[name] = {"scale": {"mean": float(series.mean()), "std": float(series.std(ddof=0)) or 1.0}}
            elif what == "minmax":
                series = self.column_of(frame, name).astype(float)
                columns[name] = {"minmax": {"min": float(series.min()), "max": float(series.max())}}
        self.params["columns"] = columns
        return super().process(msg)

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        at = inputs["in"]
        for name, what in self.params["columns"].items():
            target = f"{name}{self.params.get('suffix', '')}"
            col: dict[str, Any] = {"col": name}
            if what in self.learnt:
                raise self.error(
                    "NOT_FITTED",
                    f'{what} of "{name}" has no figures yet: process a training frame first, or give them.',
                )
            if isinstance(what, str):
                at = compiler.compute(target, {"fn": what, "args": [col]}, at)
                continue
            kind, given = next(iter(what.items()))
            if kind == "clip":
                at = compiler.compute(target, {"fn": "clip", "args": [col, {"lit": given[0]}, {"lit": given[1]}]}, at)
            elif kind in ("scale", "minmax"):
                low = given["mean"] if kind == "scale" else given["min"]
                size = given["std"] if kind == "scale" else (given["max"] - given["min"]) or 1.0
                moved = {"fn": "sub", "args": [col, {"lit": low}]}
                at = compiler.compute(target, {"fn": "div", "args": [moved, {"lit": size}]}, at)
            elif kind == "hash":
                at = compiler.compute(target, {"fn": "hash", "args": [col, {"lit": given}]}, at)
            elif kind == "map":
                values = infer_type(given.values())
                number = compiler.types(at).get(name) != "string"
                pairs = [[float(key) if number else key, value] for key, value in given.items()]
                params = {"column": name, "as": target, "type": values, "pairs": pairs}
                at = compiler.step("map", params, {"in": at})
            else:
                edges = [
                    e if math.isfinite(e) else "Infinity" if e > 0 else "-Infinity" for e in map(float, given["edges"])
                ]
                params = {"column": name, "as": target, "edges": edges, "right": given.get("right", True)}
                if given.get("labels"):
                    params["labels"] = list(given["labels"])
                at = compiler.step("bin", params, {"in": at})
        return at


class OneHotEncoder(Node):
    """One column a category: `cols`, `categories` {column: […]} (else learnt from the first frame), `unknown` zeros | other | fail."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.one_hot_encoder"
    known = ("cols", "columns", "categories", "unknown", "sep", "keep")

    def setup(self) -> None:
        self.cols = as_list(self.params.get("cols") or self.params.get("columns")) or list(
            self.params.get("categories") or {}
        )
        if not self.cols:
            raise self.error("PARAMS", "it has no columns; give cols=[…].")
        self.params.setdefault("categories", {})

    def summary(self) -> str:
        return ", ".join(self.cols)

    def needs(self) -> dict[str, str]:
        return {name: infer_type(self.params["categories"].get(name, [""])) for name in self.cols}

    def makes(self) -> list[str]:
        other = f"{self.params.get('sep', '_')}other" if self.params.get("unknown") == "other" else None
        return [name for c in self.cols for name in [*self.names(c), *([f"{c}{other}"] if other else [])]]

    def names(self, column: str) -> list[str]:
        return [
            f"{column}{self.params.get('sep', '_')}{category}" for category in self.params["categories"].get(column, [])
        ]

    def fit(self, frame: Any) -> None:
        """Learns the categories that aren't given, sorted, from a frame."""
        for column in self.cols:
            if column not in self.params["categories"]:
                values = self.column_of(frame, column).dropna().unique().tolist()
                self.params["categories"] = {
                    **self.params["categories"],
                    column: sorted(values, key=lambda v: (str(type(v)), v)),
                }

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        from ..graph import run_node

        frame = self.frame_of(msg)
        assert msg is not None
        self.fit(frame)
        return msg.replace(data=run_node(self, {"in": frame}))

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        at = inputs["in"]
        for column in self.cols:
            categories = self.params["categories"].get(column)
            if not categories:
                raise self.error(
                    "CATEGORIES",
                    f'the categories of "{column}" are not known yet: process a training frame, or give categories={{"{column}": […]}}.',
                )
            unknown = self.params.get("unknown", "zeros")
            params = {"column": column, "categories": list(categories), "names": self.names(column), "unknown": unknown}
            if unknown == "other":
                params["other"] = f"{column}{self.params.get('sep', '_')}other"
            if self.params.get("keep"):
                params["keep"] = True
            at = compiler.step("onehot", params, {"in": at})
        return at


class NumpyArrays(Node):
    """Columns as one tensor of a named `dtype` and `shape` for a model: `columns`, `as`, `pad` (instead of null).

    The tensor has the shape [rows, *shape], filled row by row. Fewer columns than the shape holds are padded behind, more are cut.
    """

    module = "rtml_nodelibs.nodes.standard.preprocessing.numpy_arrays"
    known = ("columns", "as", "shape", "dtype", "pad")
    required = ("columns",)

    def setup(self) -> None:
        self.columns = as_list(self.params["columns"])
        self.tensor = str(self.params.get("as", "tensor"))
        self.shape = [int(size) for size in self.params.get("shape") or [len(self.columns)]]
        self.dtype = str(self.params.get("dtype", "float32"))
        if self.dtype not in ("float32", "float64", "int64", "bool", "string"):
            raise self.error(
                "TYPE", f"there is no dtype {self.dtype}; there are float32, float64, int64, bool, string."
            )
        if "pad" not in self.params and math.prod(self.shape) > len(self.columns):
            raise self.error(
                "PARAMS",
                f"shape {self.shape} holds {math.prod(self.shape)} values, there are {len(self.columns)} columns; give `pad`, or another shape.",
            )

    def summary(self) -> str:
        return f"{self.tensor}: {self.dtype}[n,{','.join(map(str, self.shape))}]"

    def needs(self) -> dict[str, str]:
        return dict.fromkeys(self.columns, "string" if self.dtype == "string" else "float64")

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        frame = self.frame_of(msg)
        assert msg is not None
        size = math.prod(self.shape)
        parts = [self.column_of(frame, name) for name in self.columns[:size]]
        if "pad" in self.params:
            parts = [part.fillna(self.params["pad"]) for part in parts]
            parts += [np.full(len(frame), self.params["pad"])] * (size - len(parts))
        try:
            matrix = np.stack([np.asarray(part) for part in parts], axis=1).astype(numpy_type(self.dtype))
        except (TypeError, ValueError) as error:
            raise self.error(
                "TYPE", f"the columns can't become {self.dtype}: {error}. Encode texts first.", port="in"
            ) from None
        return msg.replace(tensors={**msg.tensors, self.tensor: matrix.reshape((len(frame), *self.shape))})

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        at = inputs["in"]
        types = compiler.types(at)
        size = math.prod(self.shape)
        used = self.columns[:size]
        for name in used:
            if (types.get(name, self.dtype) == "string") != (self.dtype == "string"):
                raise self.error(
                    "TYPE", f'"{name}" is {types[name]} and can\'t become {self.dtype}; encode it first.', port="in"
                )
        if "pad" in self.params:
            pad = self.params["pad"]
            nullable = [n for n in used if types.get(n) in ("float32", "float64", "string")]
            if nullable:
                at = compiler.step("fill", {"values": dict.fromkeys(nullable, pad)}, {"in": at})
            for i in range(size - len(used)):
                name = f"{self.tensor}_pad{i}"
                at = compiler.compute(name, {"lit": pad}, at)
                used = [*used, name]
        changed = {
            name: self.dtype for name in used if name in compiler.types(at) and compiler.types(at)[name] != self.dtype
        }
        if changed or at == inputs["in"]:
            at = compiler.step("cast", {"columns": changed or dict.fromkeys(used, self.dtype)}, {"in": at})
        compiler.tensors[self.tensor] = (used, self.shape)
        return at


class Join(Node):
    """Brings two branches together, column beside column, by row; `how` inner or left."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.join"
    ports = ("left", "right")
    known = ("how",)

    def process(self, msg: DataMsg | None = None, *others: Any) -> DataMsg:
        left = self.frame_of(msg)
        right = self.frame_of(others[0] if others else None)
        assert msg is not None
        return msg.replace(data=left.join(right, how=self.params.get("how", "inner")))

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        return compiler.step("join", {"how": self.params.get("how", "inner")}, inputs)


class Union(Node):
    """Brings the rows of two branches together; a row that both have comes from the left."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.union"
    ports = ("left", "right")

    def process(self, msg: DataMsg | None = None, *others: Any) -> DataMsg:
        left = self.frame_of(msg)
        right = self.frame_of(others[0] if others else None)
        assert msg is not None
        return msg.replace(data=left.combine_first(right)[list(left.columns)])

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        return compiler.step("union", {}, inputs)


class Filter(Stepwise):
    """Keeps the rows for which `where` is true."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.filter"
    known = ("where",)
    required = ("where",)

    def setup(self) -> None:
        self.where = self.read(self.params["where"])

    def summary(self) -> str:
        return str(self.params["where"])

    def needs(self) -> dict[str, str]:
        return dict.fromkeys(columns_of(self.where), "float64")

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        return compiler.step("filter", {"where": self.where}, inputs)


class Split(Node):
    """Train and test rows: `train_size` or `test_size` (0 to 1), `seed`, or `by_time` = a column: the earliest rows train.

    The frame gets a second index level: `msg.data.xs("train")`, `msg.data.xs("test")`. Authoring only.
    """

    module = "rtml_nodelibs.nodes.standard.preprocessing.splitter"
    known = ("train_size", "test_size", "seed", "by_time", "shuffle")

    def setup(self) -> None:
        train, test = self.params.get("train_size"), self.params.get("test_size")
        if train is None and test is None:
            raise self.error("PARAMS", "give train_size or test_size, a share between 0 and 1.")
        self.share = float(train) if train is not None else 1 - float(test or 0)
        if not 0 < self.share < 1:
            raise self.error("PARAMS", f"the share of training rows is {self.share:g}; it must lie between 0 and 1.")

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        import pandas as pd

        frame = self.frame_of(msg)
        assert msg is not None
        order = np.arange(len(frame))
        if "by_time" in self.params:
            times = self.column_of(frame, self.params["by_time"])
            order = np.argsort(pd.to_datetime(times, utc=True).to_numpy(), kind="stable")
        elif self.params.get("shuffle", True):
            order = np.random.default_rng(int(self.params.get("seed", 0))).permutation(len(frame))
        cut = round(len(frame) * self.share)
        parts = {"train": frame.iloc[order[:cut]], "test": frame.iloc[order[cut:]]}
        return msg.replace(data=pd.concat(parts, names=["split", None]))

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        raise self.error(
            "AUTHORING_ONLY",
            "it separates training rows from test rows; a deployed graph has neither. Take it out of the graph.",
        )
