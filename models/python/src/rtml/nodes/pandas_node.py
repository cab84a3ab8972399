"""The Pandas node: calls pandas in the notebook, and becomes steps of the graph for a closed list of its functions."""

from __future__ import annotations

import math
from typing import Any

from ..compiler import Compiler
from ..expressions import ExpressionError, columns_of, parse
from ..frame import FLOATS, NUMBERS, Types, infer_type
from .base import DataMsg, Node, as_list

_DATE_PARTS = ("year", "month", "day", "hour", "minute", "second", "dayofweek", "weekday")
_TEXT = {"lower": "lower", "upper": "upper", "strip": "strip", "len": "length"}
_TEXT_TESTS = ("contains", "startswith", "endswith")
_DTYPES = {
    "int": "int64",
    "int64": "int64",
    "Int64": "int64",
    "int32": "int64",
    "float": "float64",
    "float64": "float64",
    "float32": "float32",
    "str": "string",
    "string": "string",
    "object": "string",
    "bool": "bool",
    "boolean": "bool",
}
_ARITHMETIC = {
    "add": "add",
    "sub": "sub",
    "subtract": "sub",
    "mul": "mul",
    "multiply": "mul",
    "div": "div",
    "divide": "div",
    "truediv": "div",
    "floordiv": "floordiv",
    "mod": "mod",
    "pow": "pow",
}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_OTHER_ROWS = [
    "groupby",
    "merge",
    "join",
    "sort_values",
    "sort_index",
    "rank",
    "shift",
    "diff",
    "cumsum",
    "cumprod",
    "cummax",
    "cummin",
    "rolling",
    "expanding",
    "ewm",
    "pivot",
    "pivot_table",
    "melt",
    "explode",
    "drop_duplicates",
    "duplicated",
    "sample",
    "head",
    "tail",
    "nlargest",
    "nsmallest",
    "describe",
    "value_counts",
    "agg",
    "aggregate",
    "interpolate",
    "ffill",
    "bfill",
    "qcut",
    "factorize",
    "concat",
    "sum",
    "mean",
    "median",
    "min",
    "max",
    "std",
    "var",
    "count",
    "nunique",
    "corr",
    "mode",
]


class Pandas(Node):
    """`params`: `import` (a method of DataFrame or Series, or a function of pandas), `kwargs`, `cols`, `inplace`, `as`."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.pandasnode"
    known = ("import", "kwargs", "cols", "inplace", "as", "categories")
    required = ("import",)

    def setup(self) -> None:
        self.function = str(self.params["import"]).removeprefix("pd.").removeprefix("pandas.")
        accessor, _, name = self.function.rpartition(".")
        self.plain = (
            name if accessor in ("str", "dt", "Series.str", "Series.dt", "DataFrame", "Series") else self.function
        )
        self.kwargs: dict[str, Any] = dict(self.params.get("kwargs") or {})
        if self.plain == "map" and self.kwargs.get("na_action") not in (None, "ignore"):
            # Published cells pass 0, which pandas doesn't know; it means: look nulls up like anything else.
            self.kwargs["na_action"] = None
        self.cols = as_list(self.params.get("cols"))
        self.inplace = bool(self.params.get("inplace", False))
        named = as_list(self.params.get("as"))
        if named and len(named) != len(self.cols):
            raise self.error("PARAMS", f"`as` names {len(named)} columns, `cols` {len(self.cols)}; name one each.")
        self._targets = dict(zip(self.cols, named, strict=True)) if named else {}

    def suggested_id(self) -> str:
        return super().suggested_id() if self.name else f"{self.plain}_{self.cols[0]}" if self.cols else self.plain

    @property
    def label(self) -> str:
        return self.name or f"Pandas {self.function}"

    def summary(self) -> str:
        return f"{self.function} {', '.join(self.cols)}".strip()

    def target(self, column: str) -> str:
        if column in self._targets:
            return self._targets[column]
        return column if self.inplace else f"{column}_{self.plain}"

    # In the notebook

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        import pandas as pd

        frame = self.frame_of(msg).copy()
        assert msg is not None
        try:
            if self.plain == "get_dummies":
                columns = self.cols or as_list(self.kwargs.get("columns")) or None
                rest = {key: value for key, value in self.kwargs.items() if key != "columns"}
                return msg.replace(data=pd.get_dummies(frame, columns=columns, **rest))
            if not self.cols:
                return msg.replace(data=self._whole(frame, pd))
            for column in self.cols:
                frame[self.target(column)] = self._column(self.column_of(frame, column), pd)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self.error("PANDAS", f"pandas refused: {error}", port="in") from error
        return msg.replace(data=frame)

    def _whole(self, frame: Any, pd: Any) -> Any:
        if hasattr(frame, self.function):
            result = getattr(frame, self.function)(**{k: v for k, v in self.kwargs.items() if k != "inplace"})
        else:
            result = getattr(pd, self.function)(frame, **self.kwargs)
        return result if isinstance(result, pd.DataFrame) else pd.DataFrame(result)

    def _column(self, series: Any, pd: Any) -> Any:
        kwargs = {key: value for key, value in self.kwargs.items() if key != "inplace"}
        if self.plain in _DATE_PARTS:
            return getattr(pd.to_datetime(series).dt, self.plain)
        if self.plain in _TEXT or self.plain in _TEXT_TESTS:
            return getattr(series.str, self.plain)(**kwargs)
        if hasattr(series, self.plain):
            return getattr(series, self.plain)(**kwargs)
        return getattr(pd, self.function)(series, **kwargs)

    # In the graph

    def needs(self) -> dict[str, str]:
        if self.plain in ("eval", "query"):
            return dict.fromkeys(columns_of(self._parse(str(self.kwargs.get("expr", "")).split("=", 1)[-1])), "float64")
        guess = "float64"
        if self.plain in ("to_datetime", "get_dummies") or self.plain in _TEXT or self.plain in _TEXT_TESTS:
            guess = "string"
        if self.plain == "map" and isinstance(self.kwargs.get("arg"), dict):
            guess = infer_type(self.kwargs["arg"])
        if self.plain == "fillna" and isinstance(self.kwargs.get("value"), str):
            guess = "string"
        return dict.fromkeys(
            self.cols or as_list(self.kwargs.get("columns") if self.plain == "get_dummies" else None), guess
        )

    def makes(self) -> list[str]:
        return [self.target(column) for column in self.cols]

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        for key, value in self.kwargs.items():
            if callable(value) and not isinstance(value, type):
                raise self._refused(f"{key} is a function, and functions can't be serialised")
        at = inputs["in"]
        whole = getattr(self, f"_compile_{self.plain}", None)
        if whole is not None:
            done: str = whole(compiler, at)
            return done
        for column in self.cols or [name for name, kind in compiler.types(at).items() if self._applies(kind)]:
            expr = self._expression(column, compiler.types(at))
            target = self.target(column) if self.cols else column
            at = compiler.compute(target, expr, at)
        return at

    def _applies(self, kind: str) -> bool:
        return (kind == "string") == (self.plain in _TEXT or self.plain in _TEXT_TESTS or self.plain == "to_datetime")

    def _refused(self, reason: str) -> Exception:
        return self.error(
            "NOT_SUPPORTED",
            f"pandas' {self.function} can't run in a deployed graph: {reason}. Do it before training, or use one of "
            "docs/nodes.md, Pandas, or a Custom node.",
        )

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return parse(text)
        except ExpressionError as error:
            raise self._refused(str(error)) from None

    def _only(self, *names: str) -> None:
        for key, value in self.kwargs.items():
            if key not in (*names, "inplace") and value is not None:
                raise self._refused(f"the argument {key}={value!r} has no counterpart there")

    def _expression(self, column: str, types: Types) -> dict[str, Any]:
        """What one column becomes."""
        name, col = self.plain, {"col": column}
        kind = types.get(column, "float64")

        def call(function: str, *args: Any) -> dict[str, Any]:
            return {"fn": function, "args": [col, *({"lit": arg} for arg in args)]}

        if name in _DATE_PARTS:
            self._only()
            part = "dayofweek" if name == "weekday" else name
            ms = call("epochms") if kind == "string" else col
            return {"fn": part, "args": [ms]}
        if name == "to_datetime":
            self._only("utc", "errors", "format")
            if self.kwargs.get("format") not in (
                None,
                "ISO8601",
                "mixed",
                "%Y-%m-%d",
                "%Y-%m-%d %H:%M:%S",
                "%Y-%m-%dT%H:%M:%S",
            ):
                raise self._refused(f"only ISO dates are read there, not {self.kwargs['format']!r}")
            return call("epochms") if kind == "string" else col
        if name in _TEXT:
            self._only()
            return call(_TEXT[name])
        if name in _TEXT_TESTS:
            self._only("pat", "regex", "na")
            pattern = self.kwargs.get("pat")
            if not isinstance(pattern, str) or (
                name == "contains" and self.kwargs.get("regex", True) and not _is_plain(pattern)
            ):
                raise self._refused("only a plain text is searched for there: pass regex=False")
            return call(name, pattern)
        if name == "abs":
            return call("abs")
        if name in ("isna", "isnull"):
            return call("isnull")
        if name in ("notna", "notnull"):
            return {"fn": "not", "args": [call("isnull")]}
        if name == "round":
            self._only("decimals")
            scale = 10 ** int(self.kwargs.get("decimals") or 0)
            if scale == 1:
                return call("round")
            return {"fn": "div", "args": [{"fn": "round", "args": [call("mul", scale)]}, {"lit": scale}]}
        if name == "clip":
            self._only("lower", "upper")
            low, high = self.kwargs.get("lower"), self.kwargs.get("upper")
            expr = col if low is None else call("max", low)
            return expr if high is None else {"fn": "min", "args": [expr, {"lit": high}]}
        if name in _ARITHMETIC or name in _COMPARISONS:
            self._only("other")
            other = self.kwargs.get("other")
            if not isinstance(other, (int, float, str, bool)):
                raise self._refused("`other` must be one value; for two columns use import eval")
            return call(_ARITHMETIC.get(name, name), other)
        if name == "isin":
            return call("isin", *self.kwargs.get("values", ()))
        if name == "between":
            self._only("left", "right", "inclusive")
            if self.kwargs.get("inclusive", "both") != "both":
                raise self._refused("inclusive must be both")
            return {"fn": "and", "args": [call("ge", self.kwargs["left"]), call("le", self.kwargs["right"])]}
        if name in _OTHER_ROWS:
            raise self._refused("its result depends on other rows, and a request has only its own")
        if name in ("apply", "applymap", "transform", "pipe"):
            raise self._refused("it takes a function, and functions can't be serialised")
        raise self._refused("it is not in the list of functions that have a counterpart there")

    def _compile_fillna(self, compiler: Compiler, at: str) -> str:
        self._only("value")
        value = self.kwargs.get("value")
        types = compiler.types(at)
        if isinstance(value, dict):
            values = value
        elif isinstance(value, (int, float, str, bool)):
            names = self.cols or [
                n
                for n, kind in types.items()
                if (kind == "string") == isinstance(value, str) and kind in (*FLOATS, "string")
            ]
            values = dict.fromkeys(names, value)
        else:
            raise self._refused(f"`value` must be one value or a dict by column, not {value!r}")
        copies: dict[str, Any] = {}
        for name, filler in values.items():
            target = self.target(name) if self.cols else name
            if target != name:
                at = compiler.compute(target, {"col": name}, at)
            copies[target] = filler
        needed = {n: v for n, v in copies.items() if types.get(n, "float64") not in ("int64", "bool")}
        return compiler.step("fill", {"values": needed}, {"in": at}) if needed else self._keep_all(compiler, at)

    @staticmethod
    def _keep_all(compiler: Compiler, at: str) -> str:
        return compiler.step("select", {"columns": list(compiler.types(at))}, {"in": at})

    def _compile_map(self, compiler: Compiler, at: str) -> str:
        self._only("arg", "na_action")
        table = self.kwargs.get("arg")
        if not isinstance(table, dict):
            raise self._refused("`arg` must be a dict")
        for column in self._some_columns():
            at = self._table(compiler, at, column, self._typed_pairs(column, table, compiler, at), {})
        return at

    def _compile_replace(self, compiler: Compiler, at: str) -> str:
        self._only("to_replace", "value")
        table, value = self.kwargs.get("to_replace"), self.kwargs.get("value")
        if isinstance(table, (str, int, float)):
            table = {table: value}
        elif isinstance(table, list):
            table = dict(zip(table, value if isinstance(value, list) else [value] * len(table), strict=True))
        if not isinstance(table, dict) or any(isinstance(v, dict) for v in table.values()):
            raise self._refused("`to_replace` must be a value, a list or a flat dict, with `cols`")
        for column in self._some_columns():
            at = self._table(compiler, at, column, self._typed_pairs(column, table, compiler, at), {"keep": True})
        return at

    def _some_columns(self) -> list[str]:
        if not self.cols:
            raise self.error("PARAMS", "it needs `cols`: which columns to look up.")
        return self.cols

    def _typed_pairs(self, column: str, table: dict[Any, Any], compiler: Compiler, at: str) -> list[list[Any]]:
        """Keys as the column's type has them: JSON turned the keys of a DSL into texts."""
        kind = compiler.types(at).get(column)
        pairs = []
        for key, value in table.items():
            if kind in NUMBERS and isinstance(key, str):
                try:
                    key = float(key)
                except ValueError:
                    raise self.error(
                        "TYPE", f'"{column}" is {kind}, its table has the key {key!r}; write numbers.', port="in"
                    ) from None
            pairs.append([key, None if isinstance(value, float) and math.isnan(value) else value])
        return pairs

    def _table(self, compiler: Compiler, at: str, column: str, pairs: list[list[Any]], extra: dict[str, Any]) -> str:
        kind = infer_type(value for _, value in pairs)
        if extra.get("keep"):
            kind = compiler.types(at).get(column, kind)
        if kind == "bool":
            kind = "float64"
        return compiler.step(
            "map", {"column": column, "as": self.target(column), "type": kind, "pairs": pairs, **extra}, {"in": at}
        )

    def _compile_astype(self, compiler: Compiler, at: str) -> str:
        self._only("dtype", "errors", "copy")
        given = self.kwargs.get("dtype")
        by_column = given if isinstance(given, dict) else dict.fromkeys(self.cols or compiler.types(at), given)
        columns = {}
        for name, dtype in by_column.items():
            text = dtype.__name__ if isinstance(dtype, type) else str(dtype)
            if text not in _DTYPES:
                raise self._refused(f"there is no type {text}; there are {', '.join(_DTYPES)}")
            target = self.target(name) if self.cols and not isinstance(given, dict) else name
            if target != name:
                at = compiler.compute(target, {"col": name}, at)
            columns[target] = _DTYPES[text]
        return compiler.step("cast", {"columns": columns}, {"in": at})

    def _compile_to_numeric(self, compiler: Compiler, at: str) -> str:
        self._only("errors")
        invalid = "null" if self.kwargs.get("errors") == "coerce" else "fail"
        for column in self._some_columns():
            if self.target(column) != column:
                at = compiler.compute(self.target(column), {"col": column}, at)
        return compiler.step(
            "cast", {"columns": {self.target(c): "float64" for c in self.cols}, "invalid": invalid}, {"in": at}
        )

    def _compile_rename(self, compiler: Compiler, at: str) -> str:
        self._only("columns")
        columns = self.kwargs.get("columns")
        if not isinstance(columns, dict):
            raise self._refused("`columns` must be a dict")
        return compiler.step(
            "rename", {"columns": {o: n for o, n in columns.items() if o in compiler.types(at)}}, {"in": at}
        )

    def _compile_drop(self, compiler: Compiler, at: str) -> str:
        gone = (
            self.cols
            or as_list(self.kwargs.get("columns"))
            or (as_list(self.kwargs.get("labels")) if self.kwargs.get("axis") in (1, "columns") else [])
        )
        if not gone:
            raise self._refused("only columns can be dropped: pass columns=[…]")
        for name in gone:
            if name not in compiler.types(at) and self.kwargs.get("errors") != "ignore":
                raise self.error("MISSING_COLUMN", f'there is no column "{name}" to drop.', port="in")
        return compiler.step("select", {"columns": [n for n in compiler.types(at) if n not in gone]}, {"in": at})

    def _compile_filter(self, compiler: Compiler, at: str) -> str:
        self._only("items")
        return compiler.step("select", {"columns": as_list(self.kwargs.get("items")) or self.cols}, {"in": at})

    def _compile_reindex(self, compiler: Compiler, at: str) -> str:
        self._only("columns", "fill_value")
        wanted = as_list(self.kwargs.get("columns"))
        for name in wanted:
            if name not in compiler.types(at):
                at = compiler.compute(name, {"lit": self.kwargs.get("fill_value")}, at)
        return compiler.step("select", {"columns": wanted}, {"in": at})

    def _compile_dropna(self, compiler: Compiler, at: str) -> str:
        self._only("subset", "how", "axis")
        names = self.cols or as_list(self.kwargs.get("subset")) or list(compiler.types(at))
        parts = [{"fn": "not", "args": [{"fn": "isnull", "args": [{"col": name}]}]} for name in names]
        joined = "or" if self.kwargs.get("how") == "all" else "and"
        where = parts[0] if len(parts) == 1 else {"fn": joined, "args": parts}
        return compiler.step("filter", {"where": where}, {"in": at})

    def _compile_query(self, compiler: Compiler, at: str) -> str:
        self._only("expr")
        return compiler.step("filter", {"where": self._parse(str(self.kwargs.get("expr")))}, {"in": at})

    def _compile_eval(self, compiler: Compiler, at: str) -> str:
        self._only("expr")
        for line in str(self.kwargs.get("expr", "")).strip().splitlines():
            target, sign, text = line.partition("=")
            if not sign or not target.strip().isidentifier() or text.startswith("="):
                raise self._refused(f'{line!r} makes no column: write "new = a + b"')
            at = compiler.compute(target.strip(), self._parse(text), at)
        return at

    def _compile_cut(self, compiler: Compiler, at: str) -> str:
        self._only("bins", "labels", "right", "include_lowest")
        bins, labels = self.kwargs.get("bins"), self.kwargs.get("labels")
        if not isinstance(bins, (list, tuple)):
            raise self._refused("`bins` must be a list of edges: a number of bins depends on the other rows")
        if labels is None:
            raise self._refused("give `labels`: the names of intervals differ between versions of pandas")
        for column in self._some_columns():
            params = {
                "column": column,
                "as": self.target(column),
                "edges": [
                    "Infinity" if e == math.inf else "-Infinity" if e == -math.inf else e for e in map(float, bins)
                ],
                "right": bool(self.kwargs.get("right", True)),
                "includeLowest": bool(self.kwargs.get("include_lowest", False)),
            }
            if labels is not False:
                params["labels"] = [str(label) for label in labels]
            at = compiler.step("bin", params, {"in": at})
        return at

    def _compile_get_dummies(self, compiler: Compiler, at: str) -> str:
        self._only("columns", "prefix", "prefix_sep", "dtype", "drop_first")
        if self.kwargs.get("drop_first"):
            raise self._refused("drop_first depends on the other rows; select the columns that the model wants")
        types = compiler.types(at)
        columns = (
            self.cols or as_list(self.kwargs.get("columns")) or [n for n, kind in types.items() if kind == "string"]
        )
        prefix, separator = self.kwargs.get("prefix"), self.kwargs.get("prefix_sep", "_")
        for i, column in enumerate(columns):
            own = (
                prefix.get(column, column)
                if isinstance(prefix, dict)
                else prefix[i]
                if isinstance(prefix, list)
                else prefix or column
            )
            start = f"{own}{separator}"
            names = self._dummies(column, start, columns, compiler.wanted)
            at = compiler.step(
                "onehot",
                {
                    "column": column,
                    "categories": [self._category(column, n.removeprefix(start), types) for n in names],
                    "names": names,
                },
                {"in": at},
            )
        return at

    def _dummies(self, column: str, start: str, columns: list[str], wanted: list[str]) -> list[str]:
        given = (self.params.get("categories") or {}).get(column)
        if given is not None:
            return [f"{start}{category}" for category in given]
        # `age_bucket_20s` begins with "age_" too: the longest name that fits owns the feature.
        longer = [f"{c}_" for c in columns if c != column and c.startswith(start)]
        names = [
            n for n in dict.fromkeys(wanted) if n.startswith(start) and not any(n.startswith(other) for other in longer)
        ]
        if not names:
            raise self.error(
                "CATEGORIES",
                f'the categories of "{column}" are not known: one row of a request does not show them. Give '
                f'categories={{"{column}": […]}}, use OneHotEncoder, or name the columns {start}… among the features of the model.',
            )
        return names

    @staticmethod
    def _category(column: str, text: str, types: Types) -> Any:
        if types.get(column) in (None, "string"):
            return text
        if types[column] == "bool":
            return text in ("True", "true", "1")
        number = float(text)
        return int(number) if number.is_integer() else number


def _is_plain(pattern: str) -> bool:
    return not any(sign in pattern for sign in r".^$*+?{}[]\|()")
