"""Operators of one's own: JavaScript that runs in the scorer's sandbox, or Python that is traced once and becomes expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..compiler import Compiler
from ..frame import DTYPES
from ..javascript import strip_types
from .base import DataMsg, Node, as_list
from .fields import Stepwise

OPERATORS: dict[str, Callable[..., Any]] = {}


def operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Registers a Python operator under its name, for Processor and for DSLs. It gets columns and gives one, or a dict of them."""
    OPERATORS[function.__name__] = function
    return function


NUMPY = {
    "absolute": "abs", "fabs": "abs", "negative": "neg", "sqrt": "sqrt", "exp": "exp", "log": "log", "log1p": "log1p",
    "floor": "floor", "ceil": "ceil", "rint": "round", "isnan": "isnull", "where": "where", "clip": "clip",
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "floor_divide": "floordiv", "remainder": "mod",
    "power": "pow", "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "logical_and": "and", "logical_or": "or", "logical_not": "not", "bitwise_and": "and", "bitwise_or": "or", "invert": "not",
    "minimum": "min", "maximum": "max",
}  # fmt: skip
"""NumPy's functions of one row that expressions have, too."""


class Value:
    """A column that isn't there yet: what an operator computes with it is written down, not done."""

    def __init__(self, expr: dict[str, Any]) -> None:
        self.expr = expr

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Value:
        return self._numpy(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", args, kwargs)

    def __array_function__(self, function: Any, _: Any, args: Any, kwargs: Any) -> Value:
        return self._numpy(function.__name__, args, kwargs)

    def _numpy(self, name: str, args: Any, kwargs: Any) -> Value:
        if name not in NUMPY:
            raise TracingError(
                f"numpy's {name} isn't among the functions of one row that can be written down ({', '.join(NUMPY)}); "
                "compute it with these, or export an ONNX file for an ONNXNode"
            )
        if kwargs:
            raise TracingError(f"numpy's {name} is given {', '.join(kwargs)}; give its values in order, nothing else")
        return Value({"fn": NUMPY[name], "args": [expr_of(arg) for arg in args]})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TracingError(f"it calls .{name} of a column, which has operators only; use rtml.fn or NumPy's functions")

    def _call(self, name: str, *others: Any) -> Value:
        return Value({"fn": name, "args": [self.expr, *(expr_of(other) for other in others)]})

    def __bool__(self) -> bool:
        raise TracingError(
            "it branches on the value of a column; use where(condition, a, b), and & | ~ instead of and, or, not"
        )

    def __iter__(self) -> Any:
        raise TracingError("it loops over the values of a column; an operator works on whole columns")

    def __float__(self) -> float:
        raise TracingError("it takes a column for one number (math.log and the like); use log, exp, sqrt of rtml.fn")

    __hash__ = None  # type: ignore[assignment]
    __int__ = __index__ = __float__  # type: ignore[assignment]

    def __add__(self, other: Any) -> Value:
        return self._call("add", other)

    def __radd__(self, other: Any) -> Value:
        return Value(expr_of(other))._call("add", self)

    def __sub__(self, other: Any) -> Value:
        return self._call("sub", other)

    def __rsub__(self, other: Any) -> Value:
        return Value(expr_of(other))._call("sub", self)

    def __mul__(self, other: Any) -> Value:
        return self._call("mul", other)

    def __rmul__(self, other: Any) -> Value:
        return Value(expr_of(other))._call("mul", self)

    def __truediv__(self, other: Any) -> Value:
        return self._call("div", other)

    def __rtruediv__(self, other: Any) -> Value:
        return Value(expr_of(other))._call("div", self)

    def __floordiv__(self, other: Any) -> Value:
        return self._call("floordiv", other)

    def __mod__(self, other: Any) -> Value:
        return self._call("mod", other)

    def __pow__(self, other: Any) -> Value:
        return self._call("pow", other)

    def __neg__(self) -> Value:
        return self._call("neg")

    def __abs__(self) -> Value:
        return self._call("abs")

    def __invert__(self) -> Value:
        return self._call("not")

    def __and__(self, other: Any) -> Value:
        return self._call("and", other)

    def __or__(self, other: Any) -> Value:
        return self._call("or", other)

    def __lt__(self, other: Any) -> Value:
        return self._call("lt", other)

    def __le__(self, other: Any) -> Value:
        return self._call("le", other)

    def __gt__(self, other: Any) -> Value:
        return self._call("gt", other)

    def __ge__(self, other: Any) -> Value:
        return self._call("ge", other)

    def __eq__(self, other: Any) -> Value:  # type: ignore[override]
        return self._call("eq", other)

    def __ne__(self, other: Any) -> Value:  # type: ignore[override]
        return self._call("ne", other)


class TracingError(Exception):
    """A Python operator does something that can't be written down as an expression."""


def expr_of(value: Any) -> dict[str, Any]:
    if isinstance(value, Value):
        return value.expr
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"lit": value}
    raise TracingError(f"it computes with a {type(value).__name__}; use numbers, texts and columns")


class Functions:
    """The functions of expressions, for Python operators: `fn.where(x > 0, fn.log1p(x), 0.0)`."""

    def __getattr__(self, name: str) -> Callable[..., Value]:
        from ..expressions import FUNCTIONS

        plain = name.rstrip("_")
        if plain not in FUNCTIONS:
            raise TracingError(f"there is no function {name}; there are {', '.join(FUNCTIONS)}")
        return lambda *args: Value({"fn": plain, "args": [expr_of(arg) for arg in args]})


fn = Functions()


class Custom(Node):
    """`javascript` or `typescript` (text of a module) or `file` (.js, .mjs, .ts) with `inputs` [columns], `outputs` {column: type},
    `timeout_ms`, `memory_mb`: types are taken off here, the bundle carries JavaScript;
    or `function` (a Python operator, or the name of a registered one) with `inputs` and `output` (a name) where it gives one column.
    """

    module = "rtml_nodelibs.nodes.standard.preprocessing.custom"
    known = (
        "javascript",
        "typescript",
        "file",
        "function",
        "inputs",
        "outputs",
        "output",
        "timeout_ms",
        "memory_mb",
        "steps",
    )

    def setup(self) -> None:
        if sum(key in self.params for key in ("javascript", "typescript", "file", "function", "steps")) != 1:
            raise self.error("PARAMS", "give one of `javascript`, `typescript`, `file` and `function`.")
        self.inputs = as_list(self.params.get("inputs"))
        if not self.inputs:
            raise self.error("PARAMS", "`inputs` is missing: the columns that the operator reads.")
        if "file" in self.params:
            self._read(Path(self.params.pop("file")))
        if "typescript" in self.params:
            self.params["javascript"] = self._strip(self.params.pop("typescript"))
        if "javascript" in self.params:
            outputs = self.params.get("outputs")
            if not isinstance(outputs, Mapping) or not outputs or any(kind not in DTYPES for kind in outputs.values()):
                raise self.error("PARAMS", f"`outputs` must be {{column: type}}; types are {', '.join(DTYPES)}.")
            if "export default" not in self.params["javascript"]:
                raise self.error("PARAMS", "the module has no `export default (columns, rows) => …`.")
            if len(self.params["javascript"].encode()) > 262_144:
                raise self.error("PARAMS", "the module is larger than 256 KiB.")
        elif "function" in self.params:
            self.params["steps"] = self._trace(self.params.pop("function"))

    def _read(self, file: Path) -> None:
        if file.suffix not in (".js", ".mjs", ".ts", ".mts"):
            raise self.error("PARAMS", f"{file} is no module; its name ends with .js, .mjs, .ts or .mts.")
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error("PARAMS", f"{file} can't be read: {error}.") from None
        self.params["typescript" if file.suffix in (".ts", ".mts") else "javascript"] = text

    def _strip(self, source: str) -> str:
        try:
            return strip_types(source)
        except RuntimeError as error:
            raise self.error(
                "PARAMS",
                f"the TypeScript module can't be read: {error}. Only types are taken off: write no enum, namespace or parameter property.",
            ) from None

    def _trace(self, function: Any) -> dict[str, Any]:
        if isinstance(function, str):
            if function not in OPERATORS:
                raise self.error("PARAMS", f'there is no operator "{function}"; register it with @rtml.operator.')
            function = OPERATORS[function]
        try:
            result = function(*(Value({"col": name}) for name in self.inputs))
            if not isinstance(result, Mapping):
                result = {str(self.params.get("output") or getattr(function, "__name__", "custom")): result}
            return {name: expr_of(value) for name, value in result.items()}
        except Exception as error:
            raise self.error(
                "NOT_SUPPORTED",
                f"{getattr(function, '__name__', 'the function')} can't become a graph: {error}. Or write it in JavaScript.",
            ) from None

    def summary(self) -> str:
        return "JavaScript" if "javascript" in self.params else "Python, traced"

    def needs(self) -> dict[str, str]:
        return dict.fromkeys(self.inputs, "float64")

    def makes(self) -> list[str]:
        return list(self.params.get("steps") or self.params.get("outputs") or {})

    def process(self, msg: DataMsg | None = None, *_: Any) -> DataMsg:
        from ..graph import run_node

        frame = self.frame_of(msg)
        assert msg is not None
        return msg.replace(data=run_node(self, {"in": frame}))

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        at = inputs["in"]
        if "steps" in self.params:
            for name, expr in self.params["steps"].items():
                at = compiler.compute(name, expr, at)
            return at
        params: dict[str, Any] = {
            "module": compiler.add_module(self.params["javascript"]),
            "inputs": self.inputs,
            "outputs": [{"name": name, "type": kind} for name, kind in self.params["outputs"].items()],
        }
        if "timeout_ms" in self.params:
            params["timeoutMs"] = int(self.params["timeout_ms"])
        if "memory_mb" in self.params:
            params["memoryMb"] = int(self.params["memory_mb"])
        return compiler.step("custom", params, {"in": at})


class Processor(Stepwise):
    """A registered Python operator by name: `operator`, `inputs`, `output`."""

    module = "rtml_nodelibs.nodes.standard.preprocessing.processor"
    known = ("operator", "inputs", "output", "steps")

    def setup(self) -> None:
        if "steps" not in self.params:
            if "operator" not in self.params:
                raise self.error(
                    "PARAMS", "`operator` is missing: the name of a function registered with @rtml.operator."
                )
            inner = Custom(
                {
                    "function": self.params["operator"],
                    "inputs": self.params.get("inputs"),
                    "output": self.params.get("output") or "processed",
                },
                name=self.name or "Processor",
            )
            self.params["steps"] = inner.params["steps"]

    def summary(self) -> str:
        return str(self.params.get("operator", ""))

    def needs(self) -> dict[str, str]:
        return dict.fromkeys(as_list(self.params.get("inputs")), "float64")

    def makes(self) -> list[str]:
        return list(self.params["steps"])

    def compile(self, compiler: Compiler, inputs: dict[str, str]) -> str:
        at = inputs["in"]
        for name, expr in self.params["steps"].items():
            at = compiler.compute(name, expr, at)
        return at
