"""Custom modules from Python: tries JavaScript in a notebook (deployed, the scorer's own sandbox runs it), takes the types off TypeScript."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

import numpy as np

from .frame import to_json

_RUNNER = """
const vm = require('node:vm')
let text = ''
process.stdin.on('data', (chunk) => { text += chunk }).on('end', () => {
  const { source, columns, types, rows, timeout } = JSON.parse(text)
  const context = vm.createContext(Object.create(null), { codeGeneration: { strings: false, wasm: false } })
  const input = JSON.stringify({ columns, types, rows })
  const script = `'use strict'; (() => {
    const exported = {};
    ${source.replace(/export\\s+default/, 'exported.default =')}
    ;const { columns, types, rows } = JSON.parse(${JSON.stringify(input)})
    const number = (v) => v === null ? NaN : v === 'Infinity' ? Infinity : v === '-Infinity' ? -Infinity : v
    for (const name of Object.keys(columns)) {
      if (types[name] === 'bool') columns[name] = Uint8Array.from(columns[name])
      else if (types[name] !== 'string') columns[name] = Float64Array.from(columns[name], number)
    }
    const out = exported.default(columns, rows)
    const plain = {}
    for (const name of Object.keys(out)) plain[name] = Array.from(out[name], (v) =>
      typeof v === 'number' ? (Number.isNaN(v) ? null : v === Infinity ? 'Infinity' : v === -Infinity ? '-Infinity' : v) : v ?? null)
    return JSON.stringify(plain)
  })()`
  process.stdout.write(new vm.Script(script).runInContext(context, { timeout }))
})
"""

# Types become spaces: line and column of an error stay those of the author's file.
_STRIP = """
const { stripTypeScriptTypes } = require('node:module')
let text = ''
process.stdin.setEncoding('utf8').on('data', (chunk) => { text += chunk }).on('end', () => {
  try {
    if (!stripTypeScriptTypes) throw new Error(`Node.js ${process.version} can't read TypeScript, 22.13 or later can`)
    process.stdout.write(stripTypeScriptTypes(text))
  } catch (error) {
    process.stderr.write(error.name === "Error" ? error.message : `${error.name}: ${error.message}`)
    process.exitCode = 1
  }
})
"""


def _node() -> str:
    node = os.environ.get("RTML_NODE") or shutil.which("node")
    if node is None:
        raise RuntimeError("Node.js was not found: it runs custom modules. Put `node` on the path or set RTML_NODE")
    return node


def strip_types(source: str) -> str:
    """JavaScript of a TypeScript module. @raises RuntimeError for what is more than types (enums, namespaces, parameter properties) or no TypeScript"""
    done = subprocess.run(
        [_node(), "--no-warnings", "-e", _STRIP], input=source.encode(), capture_output=True, timeout=30, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(" ".join(done.stderr.decode(errors="replace")[:300].split()).rstrip("."))
    return done.stdout.decode()


def call_module(
    source: str, columns: dict[str, tuple[np.ndarray, str]], rows: int, timeout_ms: int
) -> dict[str, list[Any]]:
    """@raises RuntimeError when the module throws, takes too long or gives something else than columns of the right length"""
    node = _node()
    question = {
        "source": source,
        "columns": {name: [to_json(value, kind) for value in values] for name, (values, kind) in columns.items()},
        "types": {name: kind for name, (_, kind) in columns.items()},
        "rows": rows,
        # A cold process is slower than the scorer's warm worker.
        "timeout": max(timeout_ms, 500),
    }
    done = subprocess.run(
        [node, "-e", _RUNNER], input=json.dumps(question), capture_output=True, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "Error" in line]
        raise RuntimeError(f"the module failed: {lines[0] if lines else done.stderr[-300:]}")
    answer: dict[str, list[Any]] = json.loads(done.stdout)
    for name, values in answer.items():
        if len(values) != rows:
            raise RuntimeError(f'the module gave {len(values)} values of "{name}" for {rows} rows')
    return answer
