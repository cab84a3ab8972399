import { loadApplication } from '../../processors/app/load.ts'
import { epochMs } from '../../processors/app/units.ts'
import { createFeatureSet } from '../../processors/features/index.ts'
import type { FeatureSet } from '../../processors/features/types.ts'
import { type ScorerModel, scorerModel } from '../../processors/scorer/index.ts'
import { type Plan, planApplication } from '../../processors/topology.ts'
import { scoreOf } from './sim-pool.ts'

/** Event time, lateness and windows are minutes: a run lasts less than one, so late means late in the data. */
const LATENESS_MS = 60_000

/** Features that every version has: they are compared with the reference, bit for bit. */
const COMMON = `
  views_1m: { kind: count, window: { type: sliding, length: 1m, hop: 5s }, where: eventType == 'commerce.productViews' }
  spent: { kind: sum, window: { type: sliding, length: 10m, hop: 1m }, value: commerce.order.priceTotal }
  cheapest: { kind: min, value: commerce.order.priceTotal }
  pages: { kind: distinct, window: 5m, value: web.webPageDetails.name, precision: 4 }
  last_page: { kind: last, value: web.webPageDetails.name, encode: { vocabulary: [home, list, cart] } }
  away: { kind: recency, where: eventType == 'commerce.purchases', default: -1 }
  activity: { kind: decayedCount, halfLife: 30s }
  session_events: { kind: session, gap: 20s }
  is_home: { kind: event, value: web.webPageDetails.name == 'home' }
`

/** What the second version has besides: its layout differs, in the profile and in the item. */
const ADDED = `
  purchases_5m: { kind: count, window: 5m, where: eventType == 'commerce.purchases' }
  item_pages: { kind: distinct, entity: item, value: web.webPageDetails.name, precision: 4 }
`

/** Another entity's value is whatever it was at that moment, so it is checked for plausibility only. */
const ITEM = `
  item_views: { kind: count, entity: item }
`

export interface Variant {
  readonly version: 1 | 2
  readonly isFused: boolean
  readonly delivery: 'exactly-once' | 'at-least-once'
  readonly publishesFused: boolean
  /** Joins labels as well: see `labels.ts`. */
  readonly hasLabels?: boolean
}

/** Windows are seconds: a run goes on for a minute after the last fault. */
const LABELS = `
labels:
  buys: { outcome: eventType == 'commerce.purchases', window: 20s, lateness: 5s }
  soon:
    outcome: eventType == 'commerce.purchases'
    where: eventType != 'commerce.purchases'
    match: productListItems[0].SKU
    window: 15s
    lateness: 2s
    policy: fake-negative
    negatives: 0.5
`

function applicationText({ version, isFused, delivery, publishesFused, hasLabels }: Variant): string {
  return `
rtml: 1
name: sim
sources:
  web:
    keyedBy: ${isFused ? 'identity' : 'source'}
    maxFutureSkew: 30s
    mapping:
      mapping: sim
      format: json
      when: record.type != 'ignored'
      fields:
        _id: record.id
        timestamp: record.time
        eventType: record.type
        identityMap.ECID: record.visitor
        web.webPageDetails.name: record.page
        commerce.order.priceTotal: { from: record.total, onError: reject }
        productListItems: { each: record.items, fields: { SKU: item } }
identity: { priority: [ECID] }
events: { lateness: ${LATENESS_MS / 1_000}s, ttl: 1d, dedup: { ids: 64, window: 10m }, publish: ${publishesFused} }
partitions: 2
entities: { item: { key: 'productListItems[0].SKU', ttl: 1d } }
features:${COMMON}${version === 2 ? ADDED : ''}${ITEM}
delivery: ${delivery}
batch: { maxEvents: 5, publishEvery: 15ms }
${hasLabels ? LABELS : ''}`
}

const FILES = {
  readFile: (name: string): string => {
    throw new Error(`the simulated application reads no file, and asked for ${name}`)
  },
  models: { baseDir: '', fetch: globalThis.fetch, readFile: async () => Buffer.alloc(0) },
  env: () => undefined,
}

const plans = new Map<string, Promise<Plan>>()

/** Compiled once in a process and shared by all seeds: what differs between simulated processes is put around it. */
export function planOf(variant: Variant): Promise<Plan> {
  const key = JSON.stringify(variant)
  let plan = plans.get(key)
  if (!plan) {
    plan = compile(variant)
    plans.set(key, plan)
  }
  return plan
}

async function compile(variant: Variant): Promise<Plan> {
  const { app } = loadApplication(applicationText(variant), { file: 'sim.yaml', env: FILES.env })
  const plan = await planApplication({ app, ...FILES })
  return { ...plan, models: modelsOf(1) }
}

let common: Promise<FeatureSet> | undefined

/** Only the features that all versions have, which are those of version 1. States of any version become its states by migration. */
export function commonFeatureSet(): Promise<FeatureSet> {
  const first = { version: 1, isFused: false, delivery: 'exactly-once', publishesFused: false } as const
  // Its own kernels: those of a plan must learn layouts only when a process does.
  common ??= planOf(first).then(({ app, expressions }) => createFeatureSet(app, expressions))
  return common
}

/** The names that are compared bit for bit. */
export const COMMON_FEATURES = COMMON.trim()
  .split('\n')
  .map((line) => line.trim().split(':')[0]!)

export const INPUTS = ['views_1m', 'spent', 'away', 'activity', 'item_views']
export const PRIOR = 0.125

const models = new Map<number, ScorerModel[]>()

/** Champion, arm and shadow of one release; a score of a record must never be of two releases. */
export function modelsOf(release: number): ScorerModel[] {
  let made = models.get(release)
  if (!made) {
    made = (['champion', 'arm', 'shadow'] as const).map((role) => modelOf(role, release))
    models.set(release, made)
  }
  return made
}

function modelOf(role: ScorerModel['role'], release: number): ScorerModel {
  const definition = {
    version: String(release),
    inputs: INPUTS,
    role,
    service: 'buy',
    ...(role === 'arm' ? { share: 0.4 } : {}),
    deadline: 60,
    ...(role === 'shadow' ? {} : { fallback: { prior: PRIOR } }),
    maxBatchRows: 3,
    deploy: 'both',
  }
  return scorerModel(role, definition as unknown as Parameters<typeof scorerModel>[1], {
    bytes: Buffer.from(`${role} ${release}`),
    sha256: `${release}`.padStart(64, '0'),
  })
}

/** What the model says of a row. */
export const expectedScore = (role: string, version: string, row: ArrayLike<number>): number => {
  if (row.length !== INPUTS.length) throw new Error('a row of another width')
  return scoreOf(`${role}@${version}`, row, 0, row.length)
}

export const START = epochMs(1_700_000_000_000)
