/** Microseconds of processor time for one update of an online learner at 32 dense features: `node test/bench/learners.ts [--json]`. */
import { Ftrl } from '../../processors/learner/ftrl.ts'
import { Mlp } from '../../processors/learner/mlp.ts'
import { SeededRandom } from '../../processors/learner/random.ts'
import type { InputColumn, Learner } from '../../processors/learner/types.ts'

const WARM = 20_000
const UPDATES = 100_000

const random = new SeededRandom(1)
const inputs = Array.from({ length: 32 }, (_, index): InputColumn => ({ kind: 'number', name: `n${index}` }))
const rows = Array.from({ length: 500 }, () => Float32Array.from(inputs, () => random.next()))

function microseconds(learner: Learner): number {
  for (let at = 0; at < WARM; at++) learner.learn(rows[at % rows.length]!, at & 1)
  const before = process.cpuUsage()
  for (let at = 0; at < UPDATES; at++) learner.learn(rows[at % rows.length]!, at & 1)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / UPDATES
}

const task = { kind: 'binary' } as const
const results = [
  { name: 'ftrl, one update', microseconds: microseconds(new Ftrl({ inputs, task })) },
  { name: 'mlp 32-16, one update', microseconds: microseconds(new Mlp({ inputs, task, hidden: [32, 16] })) },
]
if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify(results)}\n`)
else
  for (const { name, microseconds: each } of results)
    process.stdout.write(`${each.toFixed(3).padStart(8)} µs  ${name}\n`)
