import { Command } from 'commander'
import type { Application } from '../app/schema.ts'
import { systemClock } from '../app/system-clock.ts'
import { epochMs } from '../app/units.ts'
import type { KeyState } from '../features/types.ts'
import { valuesOf } from '../host/profile-view.ts'
import type { ModelScorer } from '../scorer/index.ts'
import { type Plan, planApplication } from '../topology.ts'
import { CommandFailed, printJson, printLine } from './output.ts'
import { withScorer } from './plan-scorer.ts'
import { type AppOptions, examples, openApp, withApp } from './shared.ts'

type Example = Application['tests'][number]

const TOLERANCE = 1e-6

export function testCommand(): Command {
  return withApp(new Command('test'))
    .description("run the application's own examples: events in → XDM, features, scores out")
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml test', 'rtml test --app shop/rtml.yaml --json'))
    .action(async (options: AppOptions & { json?: true }) => {
      const opened = openApp(options)
      const plan = await planApplication(opened.planOptions)
      const results = await withScorer(plan, async (scorer) => {
        const done = []
        for (const example of opened.app.tests)
          done.push({ name: example.name, differences: await runExample(plan, scorer, example) })
        return done
      })
      const failed = results.filter(({ differences }) => differences.length > 0)
      if (options.json)
        printJson({ tests: results.length, passed: results.length - failed.length, failed: failed.length, results })
      else {
        for (const { name, differences } of results) {
          printLine(`${differences.length === 0 ? 'ok  ' : 'FAIL'} ${name}`)
          for (const difference of differences) printLine(`     ${difference}`)
        }
        printLine(`${results.length - failed.length} passed, ${failed.length} failed`)
      }
      if (results.length === 0)
        throw new CommandFailed(`${options.app} has no tests. Add some below tests:, see docs/application-file.md.`)
      if (failed.length > 0) throw new CommandFailed(`${failed.length} of ${results.length} examples differ`)
    })
}

/** Maps the events of an example, applies them in order to empty states, and compares. @returns what differs, one line each */
async function runExample(plan: Plan, scorer: ModelScorer, { source, events, expect }: Example): Promise<string[]> {
  const mapper = plan.mappers.get(source)
  if (!mapper) return [`there is no source ${source}`]
  const mapped = []
  const rejected: string[] = []
  for (const [index, event] of events.entries()) {
    const value = Buffer.from(typeof event === 'string' ? event : JSON.stringify(event))
    const record = { key: null, value, headers: {}, timestamp: epochMs(systemClock.now()), place: `tests:${index}` }
    await mapper.prepare([record])
    const result = mapper.map(record)
    mapped.push(...result.events)
    rejected.push(...result.rejected.map(({ code }) => code))
  }
  const differences: string[] = []
  if (expect.rejected) compare(rejected, expect.rejected, 'rejected', differences)
  for (const [index, wanted] of (expect.xdm ?? []).entries())
    compare(mapped[index]?.xdm, wanted, `xdm[${index}]`, differences)
  const last = mapped.at(-1)
  if (!last || (!expect.features && !expect.scores)) return differences
  const kernels = [...plan.featureSet.entities.values()]
  const all = new Map(kernels.map((kernel) => [kernel.entity, new Map<string, KeyState>()]))
  for (const event of mapped) {
    for (const kernel of kernels) {
      const states = all.get(kernel.entity)!
      for (const key of kernel.keys(event)) {
        const state = states.get(key) ?? kernel.empty()
        states.set(key, state)
        kernel.update(state, event)
      }
    }
  }
  const states = new Map<string, KeyState>()
  for (const kernel of kernels) {
    const state = all.get(kernel.entity)!.get(kernel.keys(last)[0] ?? '')
    if (state) states.set(kernel.entity, state)
  }
  const vector = plan.featureSet.newVector()
  plan.featureSet.vector(
    {
      event: last,
      states,
      lookups: { get: () => undefined },
      at: epochMs(Math.max(last.ts, states.get('profile')?.time ?? 0)),
    },
    vector,
  )
  const values = Object.fromEntries(valuesOf(plan, vector).map(({ column, value }) => [column, value]))
  if (expect.features) compare(values, expect.features, 'features', differences)
  if (expect.scores) {
    const [scores = []] = await scorer.score([{ event: last, vector }])
    const named = Object.fromEntries(
      scores.map(({ model, output, value }) => [output === 'score' ? model : `${model}.${output}`, value]),
    )
    compare(named, expect.scores, 'scores', differences)
  }
  return differences
}

/** Everything that is wanted must be there; more may be. Numbers within 1e-6. */
function compare(got: unknown, wanted: unknown, path: string, differences: string[]): void {
  if (typeof wanted === 'object' && wanted !== null) {
    if (Array.isArray(wanted) && Array.isArray(got) && wanted.length !== got.length) {
      differences.push(`${path}: expected ${wanted.length} elements, got ${got.length}`)
      return
    }
    for (const [key, value] of Object.entries(wanted)) {
      compare((got as Record<string, unknown> | null | undefined)?.[key], value, `${path}.${key}`, differences)
    }
    return
  }
  const isSame =
    typeof wanted === 'number' && typeof got === 'number'
      ? Math.abs(got - wanted) <= TOLERANCE * Math.max(1, Math.abs(wanted))
      : got === wanted
  if (!isSame) differences.push(`${path}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got) ?? 'nothing'}`)
}
