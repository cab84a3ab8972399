from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rtml.expressions import ExpressionError, evaluate, parse, type_of
from rtml.frame import Frame
from rtml.hashing import murmur3

TYPES = {"x": "float64", "n": "int64", "s": "string", "b": "bool", "two words": "float64", "t": "string"}


def frame() -> Frame:
    columns = {
        "x": np.array([1.5, -2.5, math.nan]),
        "n": np.array([7, -7, 0], dtype=np.int64),
        "s": np.array([" Ab ", None, "größe"], dtype=object),
        "b": np.array([True, False, True]),
        "two words": np.array([1.0, 2.0, 3.0]),
        "t": np.array(["2020-05-25T19:18:52.731Z", "2019-12-31 23:00:00-01:30", "no date"], dtype=object),
    }
    return Frame(TYPES, columns, np.arange(3))


def same(got: list[Any], wanted: list[Any]) -> bool:
    return all(
        (isinstance(w, float) and math.isnan(w) and math.isnan(g)) or g == w for g, w in zip(got, wanted, strict=True)
    )


NAN = math.nan
CASES: list[tuple[str, str, list[Any]]] = [
    ("x + 1", "float64", [2.5, -1.5, NAN]),
    ("n * 2 - b", "int64", [13, -14, -1]),
    ("n / 2", "float64", [3.5, -3.5, 0.0]),
    ("1 / n", "float64", [1 / 7, -1 / 7, math.inf]),
    ("n // 2", "float64", [3.0, -4.0, 0.0]),
    ("n % 3", "float64", [1.0, 2.0, 0.0]),
    ("n % 0", "float64", [NAN, NAN, NAN]),
    ("x ** 2", "float64", [2.25, 6.25, NAN]),
    ("-n", "int64", [-7, 7, 0]),
    ("abs(x)", "float64", [1.5, 2.5, NAN]),
    ("round(x)", "float64", [2.0, -2.0, NAN]),
    ("log(x)", "float64", [math.log(1.5), NAN, NAN]),
    ("clip(x, -1, 1)", "float64", [1.0, -1.0, NAN]),
    ("min(x, n)", "float64", [1.5, -7.0, NAN]),
    ("x > 0", "bool", [True, False, False]),
    ("x != 1.5", "bool", [False, True, True]),
    ("0 < x <= 2", "bool", [True, False, False]),
    ("x > 0 and not b or n == 0", "bool", [False, False, True]),
    ("(x > 0) & b", "bool", [True, False, False]),
    ("s == 'größe'", "bool", [False, False, True]),
    ("s != 'größe'", "bool", [True, True, False]),
    ("n in [7, 0]", "bool", [True, False, True]),
    ("n not in [7]", "bool", [False, True, True]),
    ("s is None", "bool", [False, True, False]),
    ("isnull(x)", "bool", [False, False, True]),
    ("x if b else n", "float64", [1.5, -7.0, NAN]),
    ("coalesce(x, n)", "float64", [1.5, -2.5, 0.0]),
    ("upper(strip(s))", "string", ["AB", None, "GRÖSSE"]),
    ("s.str.lower()", "string", [" ab ", None, "größe"]),
    ("length(s)", "float64", [4.0, NAN, 5.0]),
    ("concat(s, '-', s)", "string", [" Ab - Ab ", None, "größe-größe"]),
    ("contains(s, 'öß')", "bool", [False, False, True]),
    ("hash(s, 16)", "float64", [float(murmur3(" Ab ") % 16), NAN, float(murmur3("größe") % 16)]),
    ("`two words` + 0.5", "float64", [1.5, 2.5, 3.5]),
    ("epochms(t)", "float64", [1590434332731.0, 1577838600000.0, NAN]),
    ("hour(epochms(t))", "float64", [19.0, 0.0, NAN]),
    ("dayofweek(epochms(t))", "float64", [0.0, 2.0, NAN]),
    ("year(epochms(t)) * 100 + month(epochms(t))", "float64", [202005.0, 202001.0, NAN]),
    ("day(epochms(t))", "float64", [25.0, 1.0, NAN]),
]


@pytest.mark.parametrize(("text", "kind", "wanted"), CASES, ids=[case[0] for case in CASES])
def test_expression(text: str, kind: str, wanted: list[Any]) -> None:
    expr = parse(text)
    assert type_of(expr, TYPES) == kind
    values, got = evaluate(expr, frame())
    assert got == kind
    assert same(values.tolist(), wanted), values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lambda x: x", "can't be part"),
        ("x +", "no expression"),
        ("sin(x)", "no function sin"),
        ("__import__('os')", "no function"),
        ("x.__class__", "can't be part"),
        ("[y for y in x]", "can't be part"),
        ("clip(x)", "takes 3 arguments"),
        ("s + 1", "wants numbers"),
        ("s == 1", "texts with numbers"),
        ("x and b", "wants bools"),
        ("missing + 1", 'no column "missing"'),
        ("where(b, s, x)", "mixes texts"),
        ("hash(s, 0)", "number of buckets"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=says):
        type_of(parse(text), TYPES)


def test_hash_is_murmur3() -> None:
    # Published test vectors of MurmurHash3_x86_32 with seed 0.
    assert murmur3("") == 0
    assert murmur3("hello") == 0x248BFA47
    assert murmur3("hello, world") == 0x149BBB7F
    assert murmur3("The quick brown fox jumps over the lazy dog") == 0x2E4FF723
