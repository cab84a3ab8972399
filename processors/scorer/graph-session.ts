/** A bundle's graph as a model of the pool: its ONNX sessions and custom modules live in the worker, like any session. */

import { readBundle } from '../graph/bundle.ts'
import type { NodeOf } from '../graph/format.ts'
import type { Column } from '../graph/frame.ts'
import { compileGraph, type Host } from '../graph/program.ts'
import { Sandbox } from '../graph/sandbox/sandbox.ts'
import { rowsOf, signatureOf, TRACE, tensorsOf } from '../graph/wire.ts'
import { openSession, runSession, type Session } from './session.ts'
import type { Runnable } from './worker.ts'

/** One thread for the custom modules of all graphs of this worker; started by the first. */
let sandbox: Sandbox | undefined
let nextKey = 1

/** @throws RtmlError BUNDLE, GRAPH; Error naming the node whose model or module is refused */
export async function openGraph(file: Uint8Array, warmRows: number): Promise<Runnable> {
  const { graph, models, modules } = readBundle(file)
  const sessions = new Map<string, Session>()
  const loadedModules = new Map<string, string>()
  const release = async () => {
    for (const session of sessions.values()) await session.session.release()
    for (const key of loadedModules.values()) await sandbox?.unload(key)
  }
  try {
    for (const node of graph.nodes) {
      if (node.op === 'onnx' && !sessions.has(node.params.model)) {
        const bytes = models.get(node.params.model) as Uint8Array
        // Copied: the binding wants a buffer of its own, and inflated entries may be parts of a larger one.
        sessions.set(node.params.model, await named(node.id, openSession(bytes.slice(), warmRows)))
      }
      if (node.op === 'custom') loadedModules.set(node.id, await named(node.id, loadModule(node, modules)))
    }
    const program = compileGraph(graph, { signature: (sha256) => sessions.get(sha256)?.signature })
    const host: Host = {
      runModel: (sha256, feeds, fetches) => runSession(sessions.get(sha256) as Session, feeds, fetches),
      callModule: (node, columns, rows) => callModule(loadedModules.get(node) as string, columns, rows),
    }
    return {
      loaded: {
        signature: signatureOf(program),
        classes: undefined,
        exposed: [],
        opaque: [],
        irVersion: 0,
        opsets: [],
      },
      run: async (inputs, fetches) => {
        const rows = rowsOf(program, inputs)
        const run = await program.run(rows, host, { trace: fetches?.includes(TRACE) === true })
        return tensorsOf(program, run, rows.rows, fetches)
      },
      release,
    }
  } catch (error) {
    await release()
    throw error
  }
}

async function named<T>(node: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw new Error(`node ${node}: ${(error as Error).message}`, { cause: error })
  }
}

async function loadModule(node: NodeOf<'custom'>, modules: ReadonlyMap<string, string>): Promise<string> {
  const { module, outputs, timeoutMs, memoryMb } = node.params
  sandbox ??= new Sandbox()
  const key = `${nextKey++}`
  await sandbox.load(key, { source: modules.get(module) as string, outputs, timeoutMs, memoryMb })
  return key
}

async function callModule(
  key: string,
  columns: ReadonlyMap<string, Column>,
  rows: number,
): Promise<Map<string, Column>> {
  const list = [...columns]
  const made = await (sandbox as Sandbox).call(
    key,
    {
      names: list.map(([name]) => name),
      types: list.map(([, it]) => it.dtype),
      data: list.map(([, it]) => own(it.data)),
    },
    rows,
  )
  return new Map(
    made.names.map((name, index): [string, Column] => [
      name,
      { dtype: made.types[index], data: made.data[index] } as Column,
    ]),
  )
}

/** A part of a larger array would be sent with all of it. */
const own = (data: Column['data']): Column['data'] =>
  data instanceof Float64Array && data.byteLength < data.buffer.byteLength ? data.slice() : data
