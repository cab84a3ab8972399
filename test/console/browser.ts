/** An application with the demo's real events, its edge and a real browser, for tests of the console. */
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { systemClock } from '../../processors/app/system-clock.ts'
import type { Security } from '../../processors/edge/auth/security.ts'
import { Edge } from '../../processors/edge/edge.ts'
import { createServer } from '../../processors/edge/server.ts'
import { openEmbedded } from '../../processors/engine/embedded/engine.ts'
import type { Engine } from '../../processors/engine/ports.ts'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { consoleDir } from '../../processors/host/console.ts'
import { overviewOf } from '../../processors/host/overview.ts'
import { startWorker, type Worker } from '../../processors/host/start.ts'
import { silentLogger } from '../../processors/runtime/telemetry.ts'
import { chromiumPath } from '../edge/web-sdk.ts'

const LUMA = join(import.meta.dirname, '..', '..', 'examples', 'luma')

export interface Luma extends AsyncDisposable {
  readonly worker: Worker
  readonly engine: Engine
  /** Serves the console and the API on a free port. @returns its address */
  serve(security: Security): Promise<string>
  /** Appends the next so many events of the demo. */
  play(count: number): Promise<void>
  /** Waits until everything that was appended is scored or refused. */
  settled(): Promise<void>
}

/** @param application changes the demo's application file */
export async function luma(application: (text: string) => string = (text) => text): Promise<Luma> {
  await using cleanUp = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'rtml-console-'))
  cleanUp.defer(() => rm(dir, { recursive: true, force: true }))
  const file = join(dir, 'rtml.yaml')
  const text = application(await readFile(join(LUMA, 'rtml.yaml'), 'utf8'))
  await writeFile(file, text.replaceAll('../../models/', `${join(LUMA, '..', '..', 'models')}/`))
  const engine = cleanUp.use(await openEmbedded({ dir: join(dir, 'data'), clock: systemClock, upkeep: 'off' }))
  const worker = cleanUp.use(
    await startWorker({ opened: openApplicationFile(file, {}), env: {}, logger: silentLogger, engine }),
  )
  const running = await worker.started
  const edge = cleanUp.use(await Edge.open({ running, env: {} }))
  const servers = cleanUp.use(new AsyncDisposableStack())
  const lines = gunzipSync(readFileSync(join(LUMA, 'luma_events.jsonl.gz')))
    .toString('utf8')
    .trimEnd()
    .split('\n')
  let played = 0
  const total = worker.metrics.total
  const rest = cleanUp.move()
  return {
    worker,
    engine,
    async serve(security) {
      const server = await createServer(
        {
          health: () => worker.health(),
          metrics: () => worker.metrics.expose(),
          metricsType: worker.metrics.contentType,
          overview: () => overviewOf(worker),
          figures: worker.metrics,
          consoleDir,
          clock: systemClock,
          edge: () => edge,
        },
        { security, record: worker.metrics },
      )
      servers.defer(() => server.close())
      await server.listen({ host: '127.0.0.1', port: 0 })
      return `http://127.0.0.1:${(server.server.address() as AddressInfo).port}/`
    },
    async play(count) {
      const next = lines.slice(played, played + count)
      played += next.length
      await engine.log.append(
        next.map((line) => ({ topic: 'raw.web', key: visitorOf(line), value: Buffer.from(line) })),
      )
    },
    async settled() {
      const done = () => total('rtml_events_total', ['profile']) + total('rtml_rejected_total')
      for (const until = Date.now() + 20_000; Date.now() < until; ) {
        if (done() >= played) return
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
      throw new Error(`only ${done()} of ${played} events were handled in 20 s`)
    },
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  }
}

/** Key of a demo event, as its producer would set it. */
function visitorOf(line: string): Buffer {
  const { _id, endUserIDs } = JSON.parse(line)
  const { mcid, aaid } = endUserIDs._experience
  return Buffer.from(mcid?.id ?? aaid?.id ?? _id)
}

export const openBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] })

/** A page that collects what went wrong in it: script errors, refusals by the policy, answers of 500 and above. */
export async function openPage(
  browser: Browser,
  address: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; faults: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  // Sooner than the test's own end, so that a failure names what was waited for.
  page.setDefaultTimeout(12_000)
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    // A refused request is shown on the page itself.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) faults.push(message.text())
  })
  page.on('response', (answer) => {
    if (answer.status() >= 500) faults.push(`${answer.status()} ${answer.url()}`)
  })
  await page.goto(address)
  return { page, faults }
}

/** Violations of the accessibility rules on the page as it is now: WCAG 2.2 A and AA, and best practices. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  return page.evaluate(async () => {
    interface Axe {
      run(): Promise<{ violations: { id: string; help: string; nodes: { html: string; failureSummary: string }[] }[] }>
    }
    const { violations: found } = await (globalThis as unknown as { axe: Axe }).axe.run()
    return found.map(
      ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`,
    )
  })
}
