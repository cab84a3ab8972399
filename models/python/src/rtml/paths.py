"""XDM paths: `commerce.order.priceTotal`, `productListItems[0].SKU`, `productListItems[*].quantity` with a reduction."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+|\*)\]")


def steps(path: str) -> list[str | int]:
    """The steps of a path; "*" is every element. @raises ValueError when it is no path"""
    found: list[str | int] = []
    position = 0
    while position < len(path):
        if path[position] == "." and found:
            position += 1
        match = _STEP.match(path, position)
        if match is None or (not found and match[2] is not None):
            raise ValueError(f"{path!r} is no path; write a.b, a[0].b or a[*].b")
        found.append(match[1] if match[1] is not None else "*" if match[2] == "*" else int(match[2]))
        position = match.end()
    if not found:
        raise ValueError("a path is empty")
    return found


def read_path(value: Any, path: str, reduce: str | None) -> Any:
    values = [value]
    for step in steps(path):
        following: list[Any] = []
        for one in values:
            if step == "*":
                following.extend(one if isinstance(one, list) else [])
            elif isinstance(step, int):
                following.append(one[step] if isinstance(one, list) and step < len(one) else None)
            else:
                following.append(one.get(step) if isinstance(one, dict) else None)
        values = following
    return _reduced([one for one in values if one is not None], reduce) if reduce else (values[0] if values else None)


def _reduced(values: list[Any], reduce: str) -> Any:
    if reduce == "count":
        return len(values)
    if reduce in ("first", "last"):
        return (values[0] if reduce == "first" else values[-1]) if values else None
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if not numbers:
        return None
    total = sum(numbers)
    return {"sum": total, "mean": total / len(numbers), "min": min(numbers), "max": max(numbers)}[reduce]


def write_path(target: dict[str, Any], path: str, value: Any) -> None:
    """Puts a value at a path of names, making the objects on the way. @raises ValueError for a path with [ ]"""
    names = steps(path)
    if not all(isinstance(name, str) and name != "*" for name in names):
        raise ValueError(f"{path!r}: only names can be written to")
    at = target
    for name in names[:-1]:
        at = at.setdefault(str(name), {})
    at[str(names[-1])] = value
