/** Ops that write: they pass their frame on, and say which columns leave under which name. */
import type { NodeOf } from '../format.ts'
import type { Dtype, Schema } from '../frame.ts'
import { refuse, wanted } from '../problem.ts'
import { at, type Step } from '../step.ts'

/** A column that a sink writes. */
export interface Written {
  readonly node: string
  /** `score`: into profile.scores; `attribute`: of the profile; `xdm`: a path of the result's XDM object. */
  readonly kind: 'score' | 'attribute' | 'xdm'
  /** Name of the score, or path. */
  readonly name: string
  readonly column: string
  readonly dtype: Dtype
}

/** Paths of names only, none of them inside another. */
function checkPaths(node: NodeOf<'xdm'>, paths: readonly string[]): void {
  for (const path of paths) {
    if (!/^[^.[\]]+(\.[^.[\]]+)*$/.test(path))
      refuse(at(node), `${JSON.stringify(path)} can't be written to. Write names with dots between: _tenant.plan.`)
    const inside = paths.find((it) => it.startsWith(`${path}.`))
    if (inside !== undefined)
      refuse(at(node), `${JSON.stringify(path)} can't be a value and hold ${JSON.stringify(inside)} at once.`)
  }
}

type Sink = NodeOf<'xdm'> | NodeOf<'profile-write'>

export function sink(node: Sink, schema: Schema): Step & { readonly written: readonly Written[] } {
  const written: Written[] = []
  const write = (kind: Written['kind'], columns: Readonly<Record<string, string>> = {}) => {
    for (const [name, column] of Object.entries(columns))
      written.push({ node: node.id, kind, name, column, dtype: wanted(schema, column, at(node, 'in')) })
  }
  if (node.op === 'xdm') {
    checkPaths(node, Object.keys(node.params.columns))
    write('xdm', node.params.columns)
  } else {
    write('score', node.params.scores)
    write('attribute', node.params.attributes)
    if (written.length === 0) refuse(at(node), 'writes nothing. Give scores or attributes.')
  }
  for (const { kind, name, column, dtype } of written) {
    if (kind === 'score' && dtype === 'string')
      refuse(
        at(node, 'in'),
        `score ${JSON.stringify(name)}: column ${JSON.stringify(column)} is a text. Write it as an attribute.`,
      )
  }
  return { schema, changed: [], written, run: ([frame]) => frame! }
}
