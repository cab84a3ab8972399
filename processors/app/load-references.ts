/** What the schema cannot say: names that must exist, rules between keys, sums, topics that must differ. */
import { formatDuration, parseDuration } from './duration.ts'
import { CODES } from './errors.ts'
import type { Environment } from './load-environment.ts'
import type { Issue, Path } from './load-source-map.ts'
import type { Application, FeatureDefinition, ModelDefinition } from './schema.ts'
import type { LabelDefinition, LearnerDefinition } from './schema-learning.ts'
import { didYouMean } from './suggest.ts'
import { topicNames } from './topics.ts'
import { type Ms, ms } from './units.ts'

const MAX_PANES = 1_000
const LEAST_HOP_MS = ms(1_000)

/** Columns of `samples` beside the features. */
const SAMPLE_COLUMNS = new Set(['event_id', 'pseudonym', 'event_ts', 'processed_at', 'partition', 'position'])

/** Names that the file declares, also those whose definition is faulty, and what is known from outside. */
export interface Declared {
  readonly sources: ReadonlySet<string>
  readonly entities: ReadonlySet<string>
  readonly lookups: ReadonlySet<string>
  readonly features: ReadonlySet<string>
  readonly models: ReadonlySet<string>
  readonly labels: ReadonlySet<string>
  /** Sections with faulty entries: rules about their whole (sums, counts) are not checked. */
  readonly incomplete: ReadonlySet<string>
  readonly env?: Environment
  /** Ready mappings. */
  readonly mappings?: readonly string[]
}

/** @returns every broken rule, in no particular order; empty = consistent */
export function checkReferences(app: Application, declared: Declared = declaredBy(app)): Issue[] {
  return [
    ...checkSources(app, declared),
    ...checkIdentity(app),
    ...checkSecrets(app, declared),
    ...checkEntities(app),
    ...Object.entries(app.features).flatMap(([name, feature]) => checkFeature(name, feature, declared)),
    ...Object.entries(app.models).flatMap(([name, model]) => checkModel(name, model, declared)),
    ...(declared.incomplete.has('models') ? [] : checkServices(app)),
    ...Object.entries(app.labels).flatMap(([name, label]) => checkLabel(name, label, app)),
    ...Object.entries(app.learners).flatMap(([name, learner]) => checkLearner(name, learner, app, declared)),
    ...checkTopics(app),
    ...checkTests(app, declared),
    ...checkEdge(app, declared),
  ]
}

function declaredBy(app: Application): Declared {
  const names = (section: object) => new Set(Object.keys(section))
  const { sources, entities, lookups, features, models, labels } = app
  return {
    sources: names(sources),
    entities: names(entities),
    lookups: names(lookups),
    features: names(features),
    models: names(models),
    labels: names(labels),
    incomplete: new Set(),
  }
}

function checkSources(app: Application, { sources, mappings }: Declared): Issue[] {
  const issues: Issue[] = []
  for (const [name, source] of Object.entries(app.sources)) {
    const path: Path = ['sources', name]
    if (source.keyedBy === 'identity' && sources.size > 1) {
      const message = `identity is possible only for an application's only source; this one has ${sources.size}. Use keyedBy: source.`
      issues.push({ path: [...path, 'keyedBy'], message })
    }
    if (source.timeZone !== undefined && !isTimeZone(source.timeZone)) {
      const message = `${JSON.stringify(source.timeZone)} is not an IANA time zone. Use a name such as Europe/Berlin or UTC.`
      issues.push({ path: [...path, 'timeZone'], message })
    }
    const { mapping } = source
    const ready = typeof mapping === 'string' ? mapping : mapping.extends
    if (mappings === undefined || ready === undefined || !sources.has(name)) continue
    if (mappings.includes(ready) || /[./\\]/.test(ready)) continue
    issues.push({
      path: [...path, 'mapping', ...(typeof mapping === 'string' ? [] : ['extends'])],
      message: `no ready mapping ${JSON.stringify(ready)}.${didYouMean(ready, mappings)} A file of your own starts with "./".`,
    })
  }
  return issues
}

function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
    return true
  } catch {
    return false
  }
}

function checkIdentity({ identity }: Application): Issue[] {
  const { allowed, priority } = identity
  if (allowed === undefined) return []
  return [...priority.entries()]
    .filter(([, namespace]) => !allowed.includes(namespace))
    .map(([index, namespace]) => ({
      path: ['identity', 'priority', index],
      message: `${JSON.stringify(namespace)} is not in identity.allowed.${didYouMean(namespace, allowed)}`,
    }))
}

function checkSecrets(app: Application, { env }: Declared): Issue[] {
  if (env === undefined) return []
  const wanted: [Path, string | undefined][] = [
    ...Object.entries(app.sources).map(([name, it]): [Path, string | undefined] => [
      ['sources', name, 'secretEnv'],
      it.secretEnv,
    ]),
    ...[...app.privacy.hash.entries()].map(([index, it]): [Path, string | undefined] => [
      ['privacy', 'hash', index, 'keyEnv'],
      it.keyEnv,
    ]),
  ]
  return wanted.flatMap(([path, variable]) =>
    variable === undefined || env(variable) ? [] : [{ path, message: `environment variable ${variable} is not set.` }],
  )
}

function checkEntities({ entities }: Application): Issue[] {
  if (!Object.hasOwn(entities, 'profile')) return []
  const message =
    '"profile" is built in: its key is the primary identity. Choose another name, or set events.ttl for its ttl.'
  return [{ path: ['entities', 'profile'], atKey: true, message }]
}

function checkFeature(name: string, feature: FeatureDefinition, declared: Declared): Issue[] {
  const path: Path = ['features', name]
  const issues: Issue[] = []
  if (SAMPLE_COLUMNS.has(name)) {
    issues.push({
      path,
      atKey: true,
      message: `${JSON.stringify(name)} is a column of samples already. Use another name.`,
    })
  }
  if ('entity' in feature && feature.entity !== 'profile' && !declared.entities.has(feature.entity)) {
    const known = ['profile', ...declared.entities]
    issues.push({ path: [...path, 'entity'], message: missing('entity', feature.entity, known) })
  }
  if ('window' in feature && feature.window !== undefined) {
    issues.push(...checkWindow([...path, 'window'], feature.window))
  }
  if ('encode' in feature && feature.encode !== undefined) {
    for (const [kind, values] of Object.entries(feature.encode)) {
      if (Array.isArray(values)) issues.push(...checkDistinct([...path, 'encode', kind], values))
    }
  }
  switch (feature.kind) {
    case 'lookup':
      if (!declared.lookups.has(feature.table)) {
        issues.push({ path: [...path, 'table'], message: missing('lookup', feature.table, declared.lookups) })
      }
      break
    case 'topK':
      if (feature.k > feature.capacity) {
        const message = `capacity ${feature.capacity} is below k ${feature.k}. Ten times k is a good start.`
        issues.push({ path: [...path, 'capacity'], message })
      }
      break
    case 'buckets':
      if ((feature.keys === undefined) === (feature.read === undefined)) {
        const message =
          'wants either "keys" (one column a key) or "read" (one column, the bucket of the current event).'
        issues.push({ path, message })
      }
      if (feature.keys) issues.push(...checkDistinct([...path, 'keys'], feature.keys))
      break
    case 'session':
      if (feature.gap < LEAST_HOP_MS) issues.push({ path: [...path, 'gap'], message: 'a gap is at least 1s.' })
      if ((feature.measure === 'sum') !== (feature.value !== undefined)) {
        const message =
          feature.value === undefined ? 'measure: sum wants a "value".' : '"value" is used by measure: sum only.'
        issues.push({ path: [...path, feature.value === undefined ? 'measure' : 'value'], message })
      }
      break
    case 'decayedCount':
    case 'decayedSum':
      if (feature.halfLife < LEAST_HOP_MS) {
        issues.push({ path: [...path, 'halfLife'], message: 'a half-life is at least 1s.' })
      }
      break
  }
  return issues
}

type Window = NonNullable<Extract<FeatureDefinition, { kind: 'count' }>['window']>

function checkWindow(path: Path, window: Window): Issue[] {
  if (typeof window === 'number') return checkLength(path, window)
  const issues: Issue[] = []
  const wants: readonly string[] = { sliding: ['length'], tumbling: ['length'], session: ['gap'], lifetime: [] }[
    window.type
  ]
  const allows = window.type === 'sliding' ? [...wants, 'hop'] : wants
  for (const key of ['length', 'hop', 'gap'] as const) {
    if (window[key] === undefined && wants.includes(key)) {
      issues.push({ path, message: `a ${window.type} window wants "${key}".` })
    }
    if (window[key] !== undefined && !allows.includes(key)) {
      const rule = allows.length > 0 ? `It has ${allows.join(' and ')}.` : 'It has no other key.'
      issues.push({ path: [...path, key], atKey: true, message: `a ${window.type} window has no "${key}". ${rule}` })
    }
  }
  const { length, hop, gap } = window
  if (length !== undefined && allows.includes('length')) issues.push(...checkLength([...path, 'length'], length))
  if (gap !== undefined && window.type === 'session' && gap < LEAST_HOP_MS) {
    issues.push({ path: [...path, 'gap'], message: `${formatDuration(gap)} is too short: a gap is at least 1s.` })
  }
  if (hop !== undefined && length !== undefined && window.type === 'sliding') {
    issues.push(...checkHop([...path, 'hop'], length, hop))
  }
  return issues
}

function checkLength(path: Path, length: Ms): Issue[] {
  if (length >= LEAST_HOP_MS) return []
  return [{ path, message: `${formatDuration(length)} is too short: a window is at least 1s.` }]
}

function checkHop(path: Path, length: Ms, hop: Ms): Issue[] {
  const text = formatDuration(hop)
  if (hop < LEAST_HOP_MS) return [{ path, message: `${text} is too short: a hop is at least 1s.` }]
  if (length % hop !== 0) {
    const advice = nearestHop(length, hop)
    const use = advice === undefined ? '' : ` Use ${formatDuration(advice)}.`
    return [{ path, message: `${text} does not divide the window of ${formatDuration(length)}.${use}` }]
  }
  const panes = length / hop
  if (panes <= MAX_PANES) return []
  const message = `${text} makes ${panes} panes of ${formatDuration(length)}; the most is ${MAX_PANES}. Use a longer hop.`
  return [{ path, message }]
}

const ROUND_HOPS = ['1s', '2s', '5s', '10s', '15s', '20s', '30s', '1m', '2m', '3m', '4m', '5m', '6m', '10m', '12m']
  .concat(['15m', '20m', '30m', '1h', '2h', '3h', '4h', '6h', '8h', '12h', '1d', '2d', '7d'])
  .map((text) => parseDuration(text)!)

/** The round time nearest to the hop that divides the length into few enough panes. */
function nearestHop(length: Ms, hop: Ms): Ms | undefined {
  const fitting = ROUND_HOPS.filter((it) => length % it === 0 && length / it <= MAX_PANES)
  const away = (it: Ms) => Math.abs(Math.log(it / hop))
  return fitting.sort((a, b) => away(a) - away(b))[0]
}

function checkDistinct(path: Path, values: readonly string[]): Issue[] {
  const seen = new Map<string, number>()
  const issues: Issue[] = []
  for (const [index, value] of values.entries()) {
    const first = seen.get(value)
    if (first === undefined) seen.set(value, index)
    else issues.push({ path: [...path, index], message: `${JSON.stringify(value)} stands twice. Remove one.` })
  }
  return issues
}

function missing(what: string, name: string, known: Iterable<string>): string {
  const names = [...known]
  return `no ${what} ${JSON.stringify(name)}.${names.length === 0 ? ` The file declares none.` : didYouMean(name, names)}`
}

/** The feature of a column name: `last_types[0]` → `last_types`, `category=shoes` → `category`. */
function featureOfColumn(column: string): string {
  return /^[^[=]*/.exec(column)![0]
}

function checkModel(name: string, model: ModelDefinition, declared: Declared): Issue[] {
  const path: Path = ['models', name]
  const isBundle = /\.zip$/i.test((model.uri ?? model.file ?? '').replace(/[?#].*$/s, ''))
  return [
    ...(model.inputs === undefined && !isBundle
      ? [
          {
            path,
            message:
              'wants "inputs": the features that it was trained with, in that order. Only a bundle (.zip) says them itself.',
          },
        ]
      : []),
    ...checkInputs([...path, 'inputs'], model.inputs, declared),
    ...checkModelFile(path, model),
    ...(model.output !== undefined && model.outputs !== undefined
      ? [{ path: [...path, 'output'], atKey: true, message: 'has "outputs" too. Keep one of the two.' }]
      : []),
    ...checkShare(path, model),
  ]
}

function checkInputs(path: Path, inputs: ModelDefinition['inputs'] = [], { features }: Declared): Issue[] {
  const wanted: [Path, string][] = []
  const add = (at: Path, names: string | readonly string[]) => {
    if (typeof names === 'string') wanted.push([at, names])
    else for (const [index, it] of names.entries()) wanted.push([[...at, index], it])
  }
  if (Array.isArray(inputs)) add(path, inputs)
  else for (const [input, names] of Object.entries(inputs)) add([...path, input], names)
  return wanted
    .filter(([, it]) => !features.has(it) && !features.has(featureOfColumn(it)))
    .map(([at, it]) => ({ path: at, message: missing('feature', it, features) }))
}

function checkModelFile(path: Path, { file, uri, sha256 }: ModelDefinition): Issue[] {
  if (file === undefined && uri === undefined) return [{ path, message: 'wants "file", or "uri" with "sha256".' }]
  if (uri === undefined) return []
  const issues: Issue[] = []
  if (file !== undefined)
    issues.push({ path: [...path, 'uri'], atKey: true, message: 'has "file" too. Keep one of the two.' })
  if (sha256 === undefined)
    issues.push({ path, message: '"uri" wants "sha256": what is loaded must be what was checked.' })
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase()
  if (scheme === undefined || !['file', 'http', 'https', 's3'].includes(scheme)) {
    issues.push({ path: [...path, 'uri'], message: 'is not a file:, http:, https: or s3: address.' })
  } else if (!URL.canParse(uri)) {
    issues.push({ path: [...path, 'uri'], message: 'is not a valid address.' })
  }
  return issues
}

function checkShare(path: Path, { role, share }: ModelDefinition): Issue[] {
  if (role === 'arm') {
    return share === undefined ? [{ path, message: 'an arm wants a "share" of the profiles, such as 0.1.' }] : []
  }
  if (share === undefined) return []
  const reason = role === 'champion' ? 'The champion has what the arms leave.' : 'A shadow scores every profile.'
  return [{ path: [...path, 'share'], atKey: true, message: `only an arm has a share. ${reason}` }]
}

function checkServices({ models }: Application): Issue[] {
  const issues: Issue[] = []
  const services = Map.groupBy(Object.entries(models), ([name, model]) => model.service ?? name)
  for (const [service, members] of services) {
    const champions = members.filter(([, model]) => model.role === 'champion')
    const [first] = members
    if (champions.length === 0 && first) {
      const [name, model] = first
      const path: Path = ['models', name, ...(model.service === undefined ? [] : ['service'])]
      const others = [...services.keys()].filter((it) => it !== service)
      const advice = model.service === undefined ? ` Name the service that it belongs to.` : didYouMean(service, others)
      issues.push({ path, message: `service ${JSON.stringify(service)} has no champion.${advice}` })
    }
    for (const [name] of champions.slice(1)) {
      const message = `service ${JSON.stringify(service)} has a champion already: ${champions[0]![0]}. Make this one an arm or a shadow.`
      issues.push({ path: ['models', name, ...(models[name]?.service === undefined ? [] : ['service'])], message })
    }
    const sum = members.reduce((total, [, model]) => total + (model.role === 'arm' ? (model.share ?? 0) : 0), 0)
    if (sum > 1 + 1e-9) {
      const last = members.findLast(([, model]) => model.role === 'arm')!
      const message = `the arms of service ${JSON.stringify(service)} take ${Number(sum.toFixed(6))} of the profiles; the most is 1.`
      issues.push({ path: ['models', last[0], 'share'], message })
    }
  }
  return issues
}

function checkLabel(name: string, label: LabelDefinition, { outputs: { samples } }: Application): Issue[] {
  const path: Path = ['labels', name]
  const issues: Issue[] = []
  const only = (key: keyof LabelDefinition, message: string) =>
    issues.push({ path: [...path, key], atKey: true, message })
  if (label.outcome === undefined) {
    if (label.value === undefined) {
      const message = 'wants "outcome" with "window" (a later event decides), or "value" (the event says it itself).'
      issues.push({ path, message })
    }
    for (const key of ['window', 'match'] as const)
      if (label[key] !== undefined) only(key, `"${key}" is used with "outcome" only.`)
    if (label.policy !== 'wait') only('policy', 'a label that the event carries itself is never late. Remove it.')
  } else {
    if (label.window === undefined) {
      issues.push({ path, message: 'an outcome wants a "window": how long before it a sample may be, such as 24h.' })
    }
    if (label.type !== 'binary' && label.value === undefined && label.combine !== 'count') {
      issues.push({ path, message: `type ${label.type} wants a "value" of the outcome, or combine: count.` })
    }
    const waited = ms((label.window ?? 0) + label.lateness)
    if (samples.retention < waited) {
      const kept = `outputs.samples.retention is ${formatDuration(samples.retention)}`
      issues.push({
        path: [...path, 'window'],
        message: `window + lateness is ${formatDuration(waited)}, but ${kept}: samples would be gone before their outcome. Keep them for longer.`,
      })
    }
  }
  if (!samples.enabled) {
    issues.push({ path, message: 'labels are joined to samples, and outputs.samples.enabled is false.' })
  }
  if ((label.type === 'classes') !== (label.classes !== undefined)) {
    const message =
      label.classes === undefined
        ? 'type: classes wants the list "classes".'
        : '"classes" is used by type: classes only.'
    issues.push({ path: [...path, label.classes === undefined ? 'type' : 'classes'], message })
  }
  if (label.classes) issues.push(...checkDistinct([...path, 'classes'], label.classes))
  if (label.type === 'classes' && label.outcome !== undefined && ['sum', 'count'].includes(label.combine)) {
    only('combine', `classes have no ${label.combine}. Use first or last.`)
  }
  if (label.type !== 'binary') {
    if (label.policy === 'fake-negative') only('policy', 'fake-negative is made for type: binary. Use wait.')
    if (label.negatives !== 1) only('negatives', 'negatives are sampled for type: binary only.')
  }
  return issues
}

function checkLearner(name: string, learner: LearnerDefinition, app: Application, declared: Declared): Issue[] {
  const path: Path = ['learners', name]
  const issues: Issue[] = []
  if (!declared.labels.has(learner.label)) {
    issues.push({ path: [...path, 'label'], message: missing('label', learner.label, declared.labels) })
  }
  for (const key of ['features', 'except'] as const) {
    for (const [index, it] of (learner[key] ?? []).entries()) {
      if (declared.features.has(it) || declared.features.has(featureOfColumn(it))) continue
      issues.push({ path: [...path, key, index], message: missing('feature', it, declared.features) })
    }
  }
  if (learner.features === undefined && declared.features.size === 0) {
    issues.push({ path, message: 'there is nothing to learn from: the file declares no features.' })
  }
  const type = app.labels[learner.label]?.type
  if (learner.calibration !== 'none' && type !== undefined && type !== 'binary') {
    const message = `only probabilities of a binary label are calibrated; ${learner.label} is of type ${type}.`
    issues.push({ path: [...path, 'calibration'], message })
  }
  if (learner.kind === 'forest' && (type === 'number' || type === 'count')) {
    const message = `a forest learns binary labels and classes; ${learner.label} is of type ${type}. Use ftrl or mlp.`
    issues.push({ path: [...path, 'kind'], message })
  }
  const { steps } = learner.promotion
  const isRising = steps.every((step, index) => index === 0 || step > steps[index - 1]!)
  if (!isRising || steps.at(-1) !== 1) {
    const message = 'shares must rise, and the last must be 1: all profiles. For example [0.05, 0.5, 1].'
    issues.push({ path: [...path, 'promotion', 'steps'], message })
  }
  return issues
}

/** Kafka's own rule for what a broker would refuse: `.` and `_` are one in its metric names. */
const collisionKey = (topic: string): string => topic.replaceAll('.', '_')

function checkTopics(app: Application): Issue[] {
  const names = topicNames(app)
  const deadLetters: Path = ['outputs', 'deadLetters', 'prefix']
  const uses: { topic: string; path: Path; what: string }[] = [
    { topic: names.models, path: ['topicPrefix'], what: "rtml's own models" },
    { topic: names.control, path: ['topicPrefix'], what: "rtml's own control" },
    { topic: names.audit, path: ['topicPrefix'], what: "rtml's own audit log" },
    { topic: names.snapshots, path: ['topicPrefix'], what: "rtml's own snapshots" },
    { topic: names.deadRaw, path: deadLetters, what: 'dead letters of raw' },
    { topic: names.deadXdm, path: deadLetters, what: 'dead letters of xdm' },
    { topic: names.events, path: ['events', 'topic'], what: 'events.topic' },
    { topic: names.scores, path: ['outputs', 'scores', 'topic'], what: 'outputs.scores' },
    { topic: names.samples, path: ['outputs', 'samples', 'topic'], what: 'outputs.samples' },
    { topic: names.examples, path: ['outputs', 'examples', 'topic'], what: 'outputs.examples' },
    ...Object.keys(app.entities).map((name) => ({
      topic: names.entity(name),
      path: ['entities', name],
      what: `entity ${name}`,
    })),
    ...Object.keys(app.sources).map((name) => ({
      topic: names.raw(name),
      path: ['sources', name, 'topic'],
      what: `source ${name}`,
    })),
  ]
  // Two lookups may read one topic; a lookup's topic may not be one that rtml writes.
  const tables = Object.keys(app.lookups).map((name) => ({
    topic: names.lookup(name),
    path: ['lookups', name, 'topic'] as Path,
  }))
  const issues: Issue[] = []
  const taken = (topic: string, owner: string) =>
    `topic ${JSON.stringify(topic)} is that of ${owner} already. Use another name.`
  const owners = new Map<string, string>()
  for (const { topic, path, what } of uses) {
    const owner = owners.get(collisionKey(topic))
    if (owner === undefined) owners.set(collisionKey(topic), what)
    else issues.push({ path, message: taken(topic, owner) })
  }
  for (const { topic, path } of tables) {
    const owner = owners.get(collisionKey(topic))
    if (owner !== undefined) issues.push({ path, message: taken(topic, owner) })
  }
  for (const { topic, path } of [...uses, ...tables]) {
    if (topic.length <= 249 && topic !== '.' && topic !== '..') continue
    const message = `topic ${JSON.stringify(topic.slice(0, 60))} is not possible: 1–249 characters, not "." or "..".`
    issues.push({ path, message })
  }
  return issues
}

function checkTests(app: Application, declared: Declared): Issue[] {
  const issues: Issue[] = []
  const names = new Map<string, number>()
  for (const [index, test] of app.tests.entries()) {
    const path: Path = ['tests', index]
    if (names.has(test.name)) {
      const message = `${JSON.stringify(test.name)} is the name of test ${names.get(test.name)! + 1} too. Use another.`
      issues.push({ path: [...path, 'name'], message })
    } else names.set(test.name, index)
    if (!declared.sources.has(test.source)) {
      issues.push({ path: [...path, 'source'], message: missing('source', test.source, declared.sources) })
    }
    for (const name of Object.keys(test.expect.features ?? {})) {
      if (declared.features.has(featureOfColumn(name))) continue
      issues.push({
        path: [...path, 'expect', 'features', name],
        atKey: true,
        message: missing('feature', name, declared.features),
      })
    }
    for (const name of Object.keys(test.expect.scores ?? {})) {
      const [model = name] = name.split('.')
      if (declared.models.has(model)) continue
      issues.push({
        path: [...path, 'expect', 'scores', name],
        atKey: true,
        message: missing('model', name, declared.models),
      })
    }
    for (const [at, code] of (test.expect.rejected ?? []).entries()) {
      if (Object.hasOwn(CODES, code)) continue
      const codes = Object.entries(CODES).filter(([, it]) => it.severity === 'reject')
      const message = `no code ${JSON.stringify(code)}.${didYouMean(
        code,
        codes.map(([it]) => it),
      )}`
      issues.push({ path: [...path, 'expect', 'rejected', at], message })
    }
  }
  return issues
}

function checkEdge({ edge }: Application, { sources }: Declared): Issue[] {
  return Object.entries(edge.datastreams)
    .filter(([, source]) => !sources.has(source))
    .map(([id, source]) => ({ path: ['edge', 'datastreams', id], message: missing('source', source, sources) }))
}
