"""Typed columns with row numbers: what every step of a graph takes and gives. See docs/graph-format.md, Rows and Types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

DTYPES = ("float32", "float64", "int64", "string", "bool")
FLOATS = ("float32", "float64")
NUMBERS = ("float32", "float64", "int64", "bool")
MAX_WHOLE = 2**53

NUMPY: dict[str, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": object,
}

Types = dict[str, str]
"""Column name to type, in the order of the columns."""


@dataclass
class Frame:
    """`columns[name]` has one value for each of `rows`, the numbers of the rows in the batch. Texts: object arrays, null None."""

    types: Types
    columns: dict[str, np.ndarray]
    rows: np.ndarray

    def take(self, mask: np.ndarray) -> Frame:
        return Frame(dict(self.types), {name: values[mask] for name, values in self.columns.items()}, self.rows[mask])

    def replace(self, types: Types, columns: dict[str, np.ndarray]) -> Frame:
        return Frame(types, columns, self.rows)


@dataclass(frozen=True)
class Failure:
    """Why a row has no result: docs/graph-format.md, Rows."""

    node: str
    column: str
    reason: str


@dataclass
class Failures:
    of_row: dict[int, Failure] = field(default_factory=dict)

    def drop(self, frame: Frame, bad: np.ndarray, node: str, column: str, reason: str) -> Frame:
        """The frame without the rows marked in `bad`; each of them has failed here."""
        if not bad.any():
            return frame
        for row in frame.rows[bad]:
            self.of_row.setdefault(int(row), Failure(node, column, reason))
        return frame.take(~bad)


def is_null(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "string":
        return np.fromiter((value is None for value in values), dtype=bool, count=len(values))
    if dtype in FLOATS:
        return np.isnan(values)
    return np.zeros(len(values), dtype=bool)


def constant(value: Any, dtype: str, count: int) -> np.ndarray:
    if value is None:
        value = None if dtype == "string" else math.nan
    out = np.empty(count, dtype=NUMPY[dtype])
    out[:] = value
    return out


def fits(value: Any, dtype: str) -> bool:
    """Whether a JSON value is one of the type. Null fits the types that have one."""
    if value is None:
        return dtype in (*FLOATS, "string")
    if dtype == "string":
        return isinstance(value, str)
    if isinstance(value, (bool, np.bool_)):
        return dtype in NUMBERS
    if value in ("Infinity", "-Infinity") and isinstance(value, str):
        return dtype in FLOATS
    if not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    if dtype == "bool":
        return value in (0, 1)
    if dtype == "int64":
        return math.isfinite(value) and float(value).is_integer() and abs(value) <= MAX_WHOLE
    return True


def read_column(values: Sequence[Any], dtype: str, default: Any) -> tuple[np.ndarray, np.ndarray]:
    """JSON values as a column, and which of them can't be one. Absent or null takes the default, then null."""
    out = np.empty(len(values), dtype=NUMPY[dtype])
    bad = np.zeros(len(values), dtype=bool)
    zero: Any = None if dtype == "string" else 0
    for i, given in enumerate(values):
        value = given
        if value is None or (isinstance(value, (float, np.floating)) and math.isnan(value)):
            value = default
        if not fits(value, dtype):
            bad[i] = True
            out[i] = zero
        elif value is None:
            out[i] = None if dtype == "string" else math.nan
        else:
            out[i] = float(value) if dtype in FLOATS else value
    return out, bad


def to_json(value: Any, dtype: str) -> Any:
    """One value of a column as JSON has it."""
    if dtype == "string":
        return None if value is None else str(value)
    if dtype == "bool":
        return bool(value)
    if dtype == "int64":
        return int(value)
    number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    # The shortest decimal that reads back as the same float32; without it the file holds the noise of the widening.
    return float(np.format_float_positional(np.float32(number))) if dtype == "float32" else number


def infer_type(values: Iterable[Any]) -> str:
    """The type of a JSON column: texts, truth values, else float64, which also holds the nulls of a later row."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {str}:
        return "string"
    if kinds and kinds <= {bool, np.bool_}:
        return "bool"
    return "float64"


def pandas_types(frame: Any) -> Types:
    """Types of a pandas frame as a graph would declare them. Whole numbers become float64: a later row may lack one."""
    types: Types = {}
    for name in frame.columns:
        series = frame[name]
        kind = series.dtype.kind if hasattr(series.dtype, "kind") else "O"
        if kind == "b":
            types[str(name)] = "bool"
        elif kind in "iuf":
            types[str(name)] = "float32" if str(series.dtype) == "float32" else "float64"
        else:
            values = [None if _missing(value) else value for value in series]
            inferred = infer_type(values)
            types[str(name)] = (
                "string" if inferred == "float64" and any(isinstance(v, str) for v in values) else inferred
            )
    return types


def _missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def records(data: Any) -> list[dict[str, Any]]:
    """Rows of a pandas frame, a list of records or a `{column: {row: value}}` as plain records; NaN and NA become None."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        names = [str(name) for name in data.columns]
        columns = [[_plain(value) for value in data[name]] for name in data.columns]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)] if names else []
    if isinstance(data, Mapping):
        if not all(isinstance(column, Mapping) for column in data.values()):
            return [{str(name): _plain(value) for name, value in data.items()}]
        keys = sorted({key for column in data.values() for key in column}, key=_row_order)
        return [{str(name): _plain(column.get(key)) for name, column in data.items()} for key in keys]
    return [{str(name): _plain(value) for name, value in row.items()} for row in data]


def _row_order(key: Any) -> tuple[int, float, str]:
    try:
        return (0, float(key), "")
    except (TypeError, ValueError):
        return (1, 0.0, str(key))


def _plain(value: Any) -> Any:
    if _missing(value):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
