import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { Command } from 'commander'
import { formatDuration } from '../app/duration.ts'
import { systemClock } from '../app/system-clock.ts'
import { ms } from '../app/units.ts'
import { identityKey, xdmMapper } from '../host/identity-key.ts'
import { subjectOf } from '../outputs/index.ts'
import { erasePerson } from '../privacy/erase.ts'
import { verifyErasure } from '../privacy/erased.ts'
import { linkedIdentities } from '../privacy/linked.ts'
import { REPORT_VARIABLES } from '../privacy/report.ts'
import { type ErasureReport, erasureReport } from '../privacy/report-schema.ts'
import { type Plan, pseudonymKey, topicSpecs } from '../topology.ts'
import { auditedCommand } from './audit.ts'
import { BadUsage, CommandFailed, note, printJson, printLine, printTable } from './output.ts'
import { interrupted, repairSetting } from './repair-shared.ts'
import { durationOption, type EngineOptions, examples, withEngine, withOpenEngine } from './shared.ts'

interface EraseOptions extends EngineOptions {
  readonly by?: string
  readonly why?: string
  readonly wait: number
  readonly scan: boolean
  readonly purgeLog?: true
  readonly report?: string
  readonly json?: true
}

const WAIT_MS = 30_000

const variables = Object.entries(REPORT_VARIABLES)
  .map(([name, text]) => `  ${name.padEnd(22)}${text}\n`)
  .join('')

export function eraseCommand(): Command {
  return withEngine(new Command('erase'))
    .description(
      'forget a person: state, scores, segments, samples, labels, dead letters, snapshots, caches; prints a signed report',
    )
    .argument('<identity...>', 'identities of the person, <NAMESPACE>:<id>; linked ones are found')
    .option('--by <who>', 'who decided it (default: the user of this machine)')
    .option('--why <text>', 'reason, for report and audit log')
    .option('--wait <duration>', 'how long workers may take to obey', durationOption, ms(WAIT_MS))
    .option('--no-scan', 'do not read all topics for what remains: the report names it by retention')
    .option('--purge-log', "take the person's records out of the log too (embedded engine)")
    .option('--report <file>', 'write the report there too')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `${examples(
        'rtml profile erase CustomerID:c1 --why "request 2031" --report c1.json',
        'rtml profile erase ECID:123 Email:ada@example.com --json',
      )}\nThe report is signed with a key of the environment:\n${variables}`,
    )
    .action((named: string[], options: EraseOptions) =>
      withOpenEngine(options, async (opened, engine) => {
        const { plan, stages } = await repairSetting(opened, engine)
        const { env } = opened.planOptions
        // The application may never have run here with this topic.
        await engine.log.ensureTopics(topicSpecs(plan.app).filter(({ topic }) => topic === plan.topics.control))
        const keys = named.map((it) => keyOf(plan, it, env))
        const identities = await linkedIdentities(plan, engine, stages, keys)
        const id = randomUUID()
        const subject = subjectOf(pseudonymKey(plan.app, env), keys[0]!)
        const change = { action: 'profile.erase', subject, reason: options.why, detail: { request: id } } as const
        const report = await auditedCommand(engine, plan.app, change, () =>
          erasePerson({
            plan,
            engine,
            stages,
            clock: systemClock,
            env,
            id,
            identities,
            spellings: named.map((it) => it.slice(it.indexOf(':') + 1)),
            by: options.by ?? `cli:${userName()}`,
            why: options.why,
            waitMs: options.wait,
            scan: options.scan,
            purge: options.purgeLog ?? false,
            signal: interrupted(),
          }),
        )
        if (options.report !== undefined) writeFileSync(options.report, `${JSON.stringify(report, null, 2)}\n`)
        if (report.signature === null)
          note('rtml: the report is not signed: set RTML_REPORT_KEY or RTML_REPORT_KEY_FILE (docs/privacy.md)')
        if (options.json) printJson(report)
        else print(report)
        if (report.status === 'pending')
          throw new CommandFailed(
            `no worker has obeyed within ${formatDuration(ms(options.wait))}. The order stands in the log: it will be obeyed before any later event. Run rtml profile erased --verify then.`,
          )
      }),
    )
}

export function erasedCommand(): Command {
  return withEngine(new Command('erased'))
    .description(
      'prove that an erasure holds: looks through stores and topics again; exit code 1 when something is left',
    )
    .requiredOption('--verify <report>', 'report of rtml profile erase, a JSON file')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml profile erased --verify c1.json'))
    .action((options: EngineOptions & { verify: string; json?: true }) =>
      withOpenEngine(options, async (opened, engine) => {
        const report = readReport(options.verify)
        const { plan, stages } = await repairSetting(opened, engine)
        const { env } = opened.planOptions
        const result = await verifyErasure({
          plan,
          engine,
          stages,
          clock: systemClock,
          env,
          report,
          signal: interrupted(),
        })
        if (options.json) printJson(result)
        else {
          printLine(`request ${result.request}  signature ${result.signature}`)
          for (const key of result.startedAnew) printLine(`${key}: a new profile, of events after the erasure alone`)
          for (const { where, records, until } of result.remaining)
            printLine(`${where}: ${records} records until ${until ?? 'compaction'}, read by nobody`)
          if (result.left.length > 0)
            printTable(
              ['left', 'what'],
              result.left.map(({ where, what }) => [where, what]),
            )
          else printLine('nothing is left')
        }
        if (result.left.length > 0) throw new CommandFailed(`${result.left.length} things are left of the person.`)
      }),
    )
}

/** @throws BadUsage for what is no identity here */
function keyOf(plan: Plan, text: string, env: (name: string) => string | undefined): string {
  const [, namespace, id] = /^([A-Za-z][A-Za-z0-9_]{0,63}):(.+)$/.exec(text) ?? []
  if (namespace === undefined || id === undefined)
    throw new BadUsage(`${JSON.stringify(text)} is not an identity. Write <NAMESPACE>:<id>, such as ECID:123.`)
  const key = identityKey(xdmMapper(plan, env), { namespace, id }, systemClock.now())
  if (key !== undefined) return key
  throw new BadUsage(`${text}: no profile can be kept under it: not in the form of its namespace, or not allowed.`)
}

function readReport(file: string): ErasureReport {
  let found: unknown
  try {
    found = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new BadUsage(`--verify ${file}: can't be read as JSON (${(error as Error).message}).`)
  }
  const parsed = erasureReport.safeParse(found)
  if (parsed.success) return parsed.data
  throw new BadUsage(
    `--verify ${file}: is not a report of rtml profile erase (${parsed.error.issues[0]?.path.join('.')}).`,
  )
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    // A container's user may have no name.
    return String(process.getuid?.() ?? 'unknown')
  }
}

function print(report: ErasureReport): void {
  printLine(`request ${report.request}: ${report.status}  (${report.identities.join(', ')})`)
  printTable(
    ['removed', 'where', 'from position', 'found'],
    report.removed.map(({ what, where, position, found, records }) => [
      records === null ? what : `${records} ${what}`,
      where,
      position ?? '–',
      found ? 'yes' : 'no',
    ]),
  )
  printLine()
  printTable(
    ['remains', 'records', 'until', 'where'],
    report.remaining.map(({ what, records, until, where }) => [
      what,
      records === null ? '–' : String(records),
      until ?? 'compaction',
      where,
    ]),
  )
  if (report.retrain.length > 0) printLine(`\ntrain anew: ${report.retrain.join(', ')}`)
  for (const text of report.notes) printLine(`\nnote: ${text}`)
}
