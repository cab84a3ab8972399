import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openApplicationFile } from '../../processors/host/application-file.ts'
import { planApplication } from '../../processors/topology.ts'
import { rtml } from '../cli/rtml.ts'
import { append, checkpoint, learn, learned, openData, openModels } from './harness.ts'

const PHISHING = join(import.meta.dirname, '../../examples/phishing')

it('starts from a history with the figures of rtml evaluate, as shadows, and the stream goes on from there', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rtml-learn-'))
  try {
    await cp(join(PHISHING, 'rtml.yaml'), join(dir, 'rtml.yaml'))
    const data = ['--data', join(dir, 'data')]
    const command = ['learn', '--from', join(PHISHING, 'phishing.csv.gz'), '--learner', 'linear', ...data]
    const first = await rtml([...command, '--json'], { cwd: dir })
    expect(first.stderr).toBe('')
    const result = JSON.parse(first.stdout)
    expect(result).toMatchObject({ events: 1250, learners: [{ learner: 'linear', learned: 1250, labels: 1250 }] })
    // docs/learning.md has the same figures, from rtml evaluate.
    expect(result.learners[0].figures.overall.logLoss).toBeCloseTo(0.2672, 4)
    expect(result.learners[0].figures.overall.accuracy).toBeCloseTo(0.896, 4)

    const again = await rtml(command, { cwd: dir })
    expect(again.code).toBe(1)
    expect(again.stderr).toMatch(/has learned 1250 examples already.*--replace/)

    const plan = await planApplication(openApplicationFile(join(dir, 'rtml.yaml'), {}).planOptions)
    await using engine = await openData(dir)
    const models = await openModels(engine, plan)
    const roles = models.gallery.service('linear')!.revisions.at(-1)!.roles
    expect(roles).toMatchObject([{ model: 'linear', version: result.learners[0].version, role: 'shadow' }])

    const known = (await checkpoint(engine, plan, 'linear'))!
    const names = plan.featureSet.columns.filter(({ type }) => type === 'float')
    const example = (n: number, eventTime: number) => ({
      label: plan.app.learners.linear!.label,
      kind: 'example' as const,
      eventId: `new${n}`,
      pseudonym: '00000000000000ff',
      eventTime: eventTime as never,
      outcomeTime: null,
      settledAt: eventTime as never,
      value: n % 2,
      weight: 1,
      features: Buffer.from(new Float32Array(names.length).fill(n % 2).buffer),
      texts: [],
      scores: [],
    })
    // One that the history has had, and ten that are new.
    await append(engine, plan, [example(0, 0), ...Array.from({ length: 10 }, (_, n) => example(n, Date.now() + n))])
    await using _ = await learn(engine, plan)
    const after = await learned(engine, plan, 'linear')
    expect(known.status().learned).toBe(1250)
    expect(after.status()).toMatchObject({ learned: 1260, ignored: 1 })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
