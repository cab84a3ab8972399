// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to the environment are the subject here
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ConfigError,
  type LoadOptions,
  loadApplication,
  loadMapping,
  parseApplication,
} from '../../../processors/app/load.ts'
import { checkReferences } from '../../../processors/app/load-references.ts'
import { formatProblem } from '../../../processors/app/load-source-map.ts'

const HEAD = 'rtml: 1\nname: shop\nsources: { web: { mapping: ga4 } }\n'

function options(extra: Partial<LoadOptions> & { vars?: Record<string, string> } = {}): LoadOptions {
  const { vars = {}, ...rest } = extra
  return { file: 'rtml.yaml', env: (name) => vars[name], ...rest }
}

function problemsOf(text: string, extra: Parameters<typeof options>[0] = {}): string[] {
  const parsed = parseApplication(text, options(extra))
  return parsed.kind === 'valid' ? [] : parsed.problems.map(formatProblem)
}

const load = (text: string, extra: Parameters<typeof options>[0] = {}) => loadApplication(text, options(extra))

describe('a valid file', () => {
  it('is loaded with defaults filled in and durations in milliseconds', () => {
    const { app } = load(`${HEAD}features:\n  views: { kind: count, window: 1h }\n`)
    expect(app.features.views).toEqual({ kind: 'count', window: 3_600_000, entity: 'profile', default: 0 })
    expect(app.events).toMatchObject({ topic: 'xdm.events', lateness: 3_600_000, dedup: { ids: 16 } })
    expect(checkReferences(app)).toEqual([])
  })

  it('keeps the place of every value for later checks', () => {
    const { source } = load(`${HEAD}features:\n  views:\n    kind: count\n    window: 1h\n`)
    expect(source.place(['features', 'views', 'window'])).toBe('rtml.yaml:7:13')
    expect(source.place(['features', 'views', 'where'])).toBe('rtml.yaml:5:3')
  })

  it('may repeat values by alias', () => {
    const text = `${HEAD}features:\n  a: { kind: count, window: &w { type: tumbling, length: 1h } }\n  b: { kind: count, window: *w }\n`
    const { features } = load(text).app
    expect(features.b).toEqual(features.a)
  })

  it('takes an alias for the last anchor before it', () => {
    const text = `${HEAD}lookups: { a: &x { topic: &y one }, b: { topic: &y two }, c: *x, d: { topic: *y } }\n`
    expect(Object.values(load(text).app.lookups).map(({ topic }) => topic)).toEqual(['one', 'two', 'one', 'two'])
  })

  it('may be JSON', () => {
    expect(load('{"rtml":1,"name":"a","sources":{"s":{"mapping":"ga4"}}}').app.name).toBe('a')
  })
})

describe('messages', () => {
  it('says what, where and what to do in the form of the style guide', () => {
    const text = `${HEAD}${'# filler\n'.repeat(5)}features:\n  views_1h:\n    kind: count\n    window: 1 hour\n`
    expect(problemsOf(text)).toEqual([
      'CONFIG rtml.yaml:12:13 features.views_1h.window: "1 hour" is not a duration. Use 1h, 30m or 7d.',
    ])
  })

  it.each([
    ['unknown key', 'outputz: {}', '4:1 outputz: unknown key "outputz". Did you mean "outputs"?'],
    [
      'unknown nested key',
      'batch: { maxEvent: 5 }',
      '4:10 batch.maxEvent: unknown key "maxEvent". Did you mean "maxEvents"?',
    ],
    [
      'enum',
      'delivery: exactlyonce',
      '4:11 delivery: "exactlyonce" is not one of the valid values. Did you mean "exactly-once"?',
    ],
    ['wrong type', 'partitions: four', '4:13 partitions: "four" is not a whole number.'],
    ['fraction', 'partitions: 1.5', '4:13 partitions: 1.5 is not a whole number.'],
    ['range', 'partitions: 0', '4:13 partitions: 0 is too small. The least is 1.'],
    ['map wanted', 'events: [1]', '4:9 events: a list is not a map.'],
    ['duration as number', 'events: { ttl: 90 }', '4:16 events.ttl: 90 is not a duration. Use 1h, 30m or 7d.'],
    [
      'duration out of range',
      'events: { ttl: 999999d }',
      '4:16 events.ttl: "999999d" is not a duration from 1ms to 100 years. Use 1h, 30m or 7d.',
    ],
    [
      'unknown kind',
      'features: { a: { kind: cuont } }',
      '4:24 features.a.kind: "cuont" is not one of the valid values. Did you mean "count"?',
    ],
    ['no kind', 'features: { a: { } }', /^CONFIG rtml.yaml:4:13 features.a.kind: is missing. Valid: count, sum, /],
    ['missing key', 'features: { a: { kind: sum } }', '4:13 features.a.value: is missing. Expected a text.'],
    [
      'union of maps',
      'features: { a: { kind: last, value: x, encode: { onhot: [a] } } }',
      '4:50 features.a.encode.onhot: unknown key "onhot". Did you mean "onehot"?',
    ],
    [
      'inside a union',
      'features: { a: { kind: last, value: x, encode: { hash: 1 } } }',
      '4:56 features.a.encode.hash: 1 is too small. The least is 2.',
    ],
    [
      'literal or map',
      'models: { m: { file: a, inputs: [], fallback: prior } }',
      /fallback: "prior" is not one of the valid values/,
    ],
    [
      'empty list',
      'models: { m: { file: a, inputs: [] } }',
      '4:33 models.m.inputs: a list of 0 is too small. The least is 1.',
    ],
    ['bad name', 'features: { 9a: { kind: count } }', /features\["9a"\]: "9a": a name is 1–64 letters/],
    [
      'topic name',
      'events: { topic: "a b" }',
      '4:18 events.topic: "a b" is not valid: a topic is 1–249 of letters, digits, . _ -.',
    ],
  ])('%s', (_, line, wanted) => {
    const problems = problemsOf(`${HEAD}${line}\n`)
    if (typeof wanted === 'string') expect(problems).toContain(`CONFIG rtml.yaml:${wanted}`)
    else expect(problems.join('\n')).toMatch(wanted)
  })

  it('lists all problems of all layers at once, sorted by position', () => {
    const text = `${HEAD}features:
  a: { kind: cuont }
  b: { kind: count, entity: itm }
entities: { item: { key: sku } }
models:
  m: { file: m.onnx, inputs: [c, a], deadline: soon }
  n: { file: n.onnx, inputs: [b, bb] }
`
    expect(problemsOf(text).map((it) => it.replace(/ .*?: /, ' ').slice(7, 60))).toEqual([
      '"cuont" is not one of the valid values. Did you mean ',
      'no entity "itm". Did you mean "item"?',
      '"soon" is not a duration. Use 1h, 30m or 7d.',
      'no feature "bb". Did you mean "b"?',
    ])
  })

  it('throws one error with at most 50 problems and the number of the others', () => {
    const text = `${HEAD}features:\n${Array.from({ length: 60 }, (_, i) => `  f${i}: { kind: no${i} }`).join('\n')}\n`
    const error = (() => {
      try {
        load(text)
      } catch (thrown) {
        return thrown as ConfigError
      }
      return undefined
    })()
    expect(error).toBeInstanceOf(ConfigError)
    expect(error?.code).toBe('CONFIG')
    expect(error?.problems).toHaveLength(50)
    expect(error?.message.split('\n')).toHaveLength(51)
    expect(error?.message).toMatch(/^CONFIG rtml\.yaml:5:15 features\.f0\.kind: .*\nCONFIG rtml\.yaml:6:15 /)
    expect(error?.message).toMatch(/\n… and 10 more$/)
  })
})

describe('YAML traps', () => {
  it.each([
    ['empty', '', /:1:1: the file is empty/],
    ['only a comment', '# nothing\n', /the file is empty/],
    ['a list', '- rtml: 1\n', /:1:1: a list is not a map/],
    ['a text', 'hello\n', /:1:1: "hello" is not a map/],
    ['tabs', 'rtml: 1\nevents:\n\ttopic: a\n', /:3:1: a tab is used as indentation/],
    ['duplicate key', `${HEAD}name: other\n`, /:4:1 name: "name" stands twice in one map, first in line 2/],
    ['duplicate nested key', `${HEAD}events: { ttl: 1d, ttl: 2d }\n`, /:4:20 events.ttl: "ttl" stands twice/],
    ['number as key', `${HEAD}features: { 1: { kind: count } }\n`, /the key 1 is not a text. Write "1"/],
    ['null as key', `${HEAD}? \n: 1\n`, /the key null is not a text/],
    ['map as key', `${HEAD}? { a: 1 }\n: 1\n`, /a list or a map is used as a key/],
    ['__proto__', `${HEAD}__proto__: { name: evil }\n`, /"__proto__" is reserved/],
    ['constructor', `${HEAD}features: { constructor: { kind: count } }\n`, /"constructor" is reserved/],
    ['merge key', `${HEAD}events: { <<: { ttl: 1d } }\n`, /merge keys/],
    ['custom tag', `${HEAD}partitions: !env P\n`, /Unresolved tag: !env/],
    ['unknown alias', `${HEAD}events: *nowhere\n`, /nowhere/],
    ['alias of itself', `${HEAD}events: &e { dedup: *e }\n`, /contains itself/],
    ['two documents', `${HEAD}---\nrtml: 1\n`, /one document/],
    ['unquoted colon', `${HEAD}features: \n  a: { kind: count }\n  b: c: d\n`, /a second ":" on the line/],
    ['unclosed quote', `${HEAD}x: "abc\n`, /not valid YAML: Missing closing/],
    ['unquoted reference', `${HEAD}events: { topic: \${T} }\n`, /put a reference in quotes/],
    ['number beyond 2^53', `${HEAD}features: { a: { kind: count, default: 9007199254740993 } }\n`, /loses digits/],
    [
      'not a number',
      `${HEAD}features: { a: { kind: count, default: .nan } }\n`,
      /features.a.default: NaN is not a number/,
    ],
    ['deep', `${HEAD}tests: ${'['.repeat(70)}${']'.repeat(70)}\n`, /nested deeper than 64/],
    ['very deep', '['.repeat(3_000), /nested deeper than 300 levels/],
  ])('%s', (_, text, wanted) => {
    expect(problemsOf(text).join('\n')).toMatch(wanted)
  })

  it('stops an alias bomb at a bounded number of values', () => {
    const levels = Array.from({ length: 30 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`)
    const problems = problemsOf(`${HEAD}l0: &l0 [x]\n${levels.join('\n')}\n`)
    expect(problems).toEqual([expect.stringContaining('more than 100000 values after aliases are expanded')])
  })

  it('refuses a file above 1 MiB before reading it', () => {
    expect(problemsOf(`${HEAD}# ${'x'.repeat(1_048_576)}`)).toEqual([expect.stringContaining('the limit is 1048576')])
  })

  it('pollutes no prototype', () => {
    problemsOf(`${HEAD}tests: [{ name: a, source: web, events: [{ __proto__: { evil: 1 } }], expect: {} }]\n`)
    expect(({} as Record<string, unknown>).evil).toBeUndefined()
  })

  it('never throws, whatever the text', () => {
    const words = fc.constantFrom(
      'rtml',
      'sources',
      ': ',
      '\n',
      '  ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '"',
      '1h',
      '${X}',
      '!t ',
      '? ',
      '#',
      '\t',
      '|',
      'features',
      'kind',
      'count',
    )
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
        expect(['valid', 'invalid']).toContain(parseApplication(parts.join(''), options()).kind)
      }),
      { numRuns: 500 },
    )
  })
})

describe('environment references', () => {
  it('are replaced, also inside a text, with defaults and escapes', () => {
    const text = `${HEAD}topicPrefix: \${STAGE}.eu.\nevents: { topic: "\${TOPIC:-xdm.events}" }\nmodels: { m: { file: "a$\${b}.onnx", inputs: [f] } }\nfeatures: { f: { kind: count } }\n`
    const { app } = load(text, { vars: { STAGE: 'prod', TOPIC: '' } })
    expect([app.topicPrefix, app.events.topic, app.models.m?.file]).toEqual(['prod.eu.', 'xdm.events', 'a${b}.onnx'])
  })

  it('become numbers and flags where the schema wants them, and stay texts elsewhere', () => {
    const text = `${HEAD}partitions: \${P}\nevents: { publish: "\${B}" }\nmodels: { m: { file: a, version: "\${V}", inputs: [f], fallback: { prior: "\${R}" } } }\nfeatures: { f: { kind: count } }\n`
    const { app } = load(text, { vars: { P: '8', B: 'true', V: '1.10', R: '0.25' } })
    expect([app.partitions, app.events.publish, app.models.m?.version, app.models.m?.fallback]).toEqual([
      8,
      true,
      '1.10',
      { prior: 0.25 },
    ])
  })

  it('name the variable that is not set, once', () => {
    expect(problemsOf(`${HEAD}partitions: \${PARTITIONS}\n`)).toEqual([
      'CONFIG rtml.yaml:4:13 partitions: environment variable PARTITIONS is not set. Set it, or give a default: ${PARTITIONS:-…}.',
    ])
  })

  it.each(['${stage}', '${STAGE', '${}', '${STAGE:default}'])('are refused when misspelt: %s', (reference) => {
    const [problem, ...others] = problemsOf(`${HEAD}topicPrefix: "${reference}"\n`, { vars: { STAGE: 'x' } })
    expect(problem).toContain(`4:14 topicPrefix: "${reference}" is no reference. Names are A–Z, 0–9 and _`)
    expect(others).toEqual([])
  })

  it('are not read in expressions, mappings and test events', () => {
    const text = `rtml: 1
name: a
sources: { web: { mapping: { mapping: m, fields: { _id: "\${ID}" } } } }
features: { f: { kind: count, where: "a == '\${HOME}'" } }
tests: [{ name: t, source: web, events: [{ x: "\${Y}" }], expect: {} }]
`
    expect(load(text).app.features.f).toMatchObject({ where: "a == '${HOME}'" })
  })

  const SECRET = 's3cret-"quoted"-value-that-is-longer-than-sixty-characters-in-all-0123456789'
  it.each([
    ['a wrong value', 'delivery: "${TOKEN}"'],
    ['a wrong type', 'partitions: "${TOKEN}"'],
    ['a wrong duration', 'events: { ttl: "${TOKEN}" }'],
    ['a bad address', 'models: { m: { uri: "${TOKEN}", inputs: [a] } }'],
    ['an unknown name', 'features: { a: { kind: lookup, table: "${TOKEN}", key: k, field: f } }'],
    ['a topic that is taken', 'lookups: { l: { topic: "${TOKEN}" } }'],
    ['a mapping file', 'sources: { s: { mapping: "./${TOKEN}" } }'],
  ])('never show their value in the message of %s', (_, line) => {
    const head = line.startsWith('sources') ? 'rtml: 1\nname: a\n' : HEAD
    const text = problemsOf(`${head}${line}\n`, { vars: { TOKEN: SECRET } }).join('\n')
    expect(text).toMatch(/^CONFIG /)
    expect(text).not.toContain('s3cret')
  })

  it('never show their value in a JSON dump, and the application still has it', () => {
    const text = `${HEAD}features: { f: { kind: count } }\nmodels: { m: { inputs: [f], uri: "https://u:\${TOKEN}@h/m", sha256: "${'0'.repeat(64)}" } }\n`
    const { app } = load(text, { vars: { TOKEN: 'hunter2' } })
    expect(app.models.m?.uri).toBe('https://u:hunter2@h/m')
    expect(JSON.stringify({ app })).not.toContain('hunter2')
    expect(JSON.stringify({ app })).toContain('"uri":"https://u:${TOKEN}@h/m"')
    expect(structuredClone(app.models.m)?.uri).toBe('https://u:hunter2@h/m')
  })

  it('show their value in dumps of features, which the feature-set version is made from', () => {
    const { app } = load(`${HEAD}features: { f: { kind: count, window: "\${W}" } }\n`, { vars: { W: '2h' } })
    expect(JSON.stringify(app.features)).toContain('7200000')
  })

  it('want secrets that are named by secretEnv and keyEnv to be set', () => {
    const text = `rtml: 1\nname: a\nsources: { s: { mapping: shopify, secretEnv: HOOK } }\nprivacy: { hash: [{ path: a.b, keyEnv: PEPPER }] }\n`
    expect(problemsOf(text, { vars: { HOOK: 'x' } })).toEqual([
      'CONFIG rtml.yaml:4:40 privacy.hash[0].keyEnv: environment variable PEPPER is not set.',
    ])
  })
})

describe('mapping files', () => {
  const text = 'rtml: 1\nname: a\nsources: { s: { mapping: ./maps/shop.yaml } }\n'
  it('are read relative to the application file', () => {
    const asked: string[] = []
    const readFile = (path: string) => {
      asked.push(path)
      return 'mapping: shop\nfields:\n  _id: id\n'
    }
    const { app } = loadApplication(text, { file: 'apps/rtml.yaml', env: () => undefined, readFile })
    expect(asked).toEqual(['apps/maps/shop.yaml'])
    expect(app.sources.s?.mapping).toMatchObject({ mapping: 'shop', format: 'json', fields: { _id: 'id' } })
  })

  it('have their own places in messages', () => {
    const readFile = () => 'mapping: shop\nfields:\n  _id: { frm: id }\n'
    expect(problemsOf(text, { readFile })).toEqual([
      'CONFIG maps/shop.yaml:3:10 fields._id.frm: unknown key "frm". Did you mean "from"?',
    ])
  })

  it('must exist', () => {
    expect(problemsOf(text, { readFile: () => undefined })).toEqual([
      'CONFIG rtml.yaml:3:26 sources.s.mapping: "maps/shop.yaml" can\'t be read. Is the path right?',
    ])
  })

  it('can be loaded alone', () => {
    expect(loadMapping('mapping: a\nfields: { _id: id }\n', 'a.yaml').fields).toEqual({ _id: 'id' })
    expect(() => loadMapping('mapping: a\nfeilds: {}\n', 'a.yaml')).toThrow(/a\.yaml:2:1 feilds: unknown key "feilds"/)
  })
})

describe('references', () => {
  const FEATURES = 'features: { f: { kind: count }, types: { kind: lastN, value: eventType, n: 3 } }\n'
  it.each<[string, string, string | RegExp | undefined]>([
    ['a column of a feature', 'models: { m: { file: a, inputs: [f, "types[2]"] } }', undefined],
    [
      'a column of an unknown feature',
      'models: { m: { file: a, inputs: [f, "tpes[2]"] } }',
      'no feature "tpes[2]". Valid: f, types.',
    ],
    ['named inputs', 'models: { m: { file: a, inputs: { x: [f, g] } } }', /models.m.inputs.x\[1\]: no feature "g"/],
    [
      'no entity',
      'entities: { item: { key: a } }\nfeatures: { g: { kind: count, entity: items } }',
      /features.g.entity: no entity "items". Did you mean "item"\?/,
    ],
    ['the built-in entity', 'entities: { profile: { key: a } }', /"profile" is built in/],
    [
      'no lookup',
      'features: { g: { kind: lookup, table: price, key: a, field: b } }',
      /no lookup "price". The file declares none./,
    ],
    [
      'file and uri',
      `models: { m: { inputs: [f], file: a, uri: "s3://b/k", sha256: "${'a'.repeat(64)}" } }`,
      /models.m.uri: has "file" too/,
    ],
    ['neither file nor uri', 'models: { m: { inputs: [f] } }', /models.m: wants "file", or "uri" with "sha256"/],
    ['uri without sha256', 'models: { m: { inputs: [f], uri: "s3://b/k" } }', /"uri" wants "sha256"/],
    [
      'scheme',
      `models: { m: { inputs: [f], uri: "ftp://b/k", sha256: "${'a'.repeat(64)}" } }`,
      /not a file:, http:, https: or s3: address/,
    ],
    [
      'output and outputs',
      'models: { m: { file: a, inputs: [f], output: x, outputs: { y: z } } }',
      /models.m.output: has "outputs" too/,
    ],
    [
      'arm without share',
      'models: { m: { file: a, inputs: [f] }, n: { file: b, inputs: [f], role: arm, service: m } }',
      /models.n: an arm wants a "share"/,
    ],
    [
      'share of a champion',
      'models: { m: { file: a, inputs: [f], share: 1 } }',
      /only an arm has a share. The champion/,
    ],
    [
      'shares',
      'models: { m: { file: a, inputs: [f] }, n: { file: b, inputs: [f], role: arm, service: m, share: 0.7 }, o: { file: b, inputs: [f], role: arm, service: m, share: 0.4 } }',
      /models.o.share: the arms of service "m" take 1.1 of/,
    ],
    [
      'shares of exactly 1',
      `models: { m: { file: a, inputs: [f] }, ${[1, 2, 3].map((i) => `n${i}: { file: b, inputs: [f], role: arm, service: m, share: ${i === 3 ? 0.8 : 0.1} }`).join(', ')} }`,
      undefined,
    ],
    [
      'no champion',
      'models: { m: { file: a, inputs: [f] }, n: { file: b, inputs: [f], role: shadow, service: mm } }',
      /models.n.service: service "mm" has no champion. Did you mean "m"\?/,
    ],
    [
      'two champions',
      'models: { m: { file: a, inputs: [f] }, n: { file: b, inputs: [f], service: m } }',
      /models.n.service: service "m" has a champion already: m/,
    ],
    [
      'two topics',
      'outputs: { scores: { topic: xdm.events } }',
      /outputs.scores.topic: topic "xdm.events" is that of events.topic already/,
    ],
    [
      'topics that Kafka takes for one',
      'outputs: { scores: { topic: xdm_events } }',
      /topic "xdm_events" is that of events.topic already/,
    ],
    [
      'a lookup of an output',
      'lookups: { l: { topic: samples } }',
      /lookups.l.topic: topic "samples" is that of outputs.samples already/,
    ],
    ['two lookups of one topic', 'lookups: { a: { topic: t }, b: { topic: t } }', undefined],
    [
      'the topic of an entity',
      'entities: { item: { key: a } }\nevents: { topic: shop.entity.item }',
      /entities.item: topic "shop.entity.item" is that of events.topic already/,
    ],
    [
      'a topic that is too long',
      `topicPrefix: ${'p'.repeat(100)}\nevents: { topic: ${'t'.repeat(150)} }`,
      /events.topic: topic "p+" is not possible: 1–249/,
    ],
    ['a fixed topic', 'events: { topic: control }', /topic "control" is that of rtml's own control/],
    ['a reserved column', 'features: { event_id: { kind: count } }', /"event_id" is a column of samples already/],
    [
      'window without length',
      'features: { g: { kind: count, window: { type: sliding } } }',
      /features.g.window: a sliding window wants "length"/,
    ],
    [
      'tumbling with hop',
      'features: { g: { kind: count, window: { type: tumbling, length: 1h, hop: 1m } } }',
      /window.hop: a tumbling window has no "hop". It has length./,
    ],
    [
      'session without gap',
      'features: { g: { kind: count, window: { type: session, length: 1h } } }',
      /a session window wants "gap"/,
    ],
    [
      'lifetime with length',
      'features: { g: { kind: count, window: { type: lifetime, length: 1h } } }',
      /a lifetime window has no "length"/,
    ],
    [
      'hop that does not divide',
      'features: { g: { kind: count, window: { type: sliding, length: 1h, hop: 7m } } }',
      /7m does not divide the window of 1h. Use 6m./,
    ],
    [
      'too many panes',
      'features: { g: { kind: count, window: { type: sliding, length: 1d, hop: 60s } } }',
      /1m makes 1440 panes of 1d; the most is 1000/,
    ],
    [
      'short hop',
      'features: { g: { kind: count, window: { type: sliding, length: 1s, hop: 100ms } } }',
      /100ms is too short: a hop is at least 1s/,
    ],
    ['short window', 'features: { g: { kind: count, window: 500ms } }', /features.g.window: 500ms is too short/],
    ['1,000 panes', 'features: { g: { kind: count, window: { type: sliding, length: 1000s, hop: 1s } } }', undefined],
    ['sum without value', 'features: { g: { kind: session, gap: 30m, measure: sum } }', /measure: sum wants a "value"/],
    ['topK capacity', 'features: { g: { kind: topK, value: a, k: 20, capacity: 5 } }', /capacity 5 is below k 20/],
    ['buckets', 'features: { g: { kind: buckets, by: a } }', /wants either "keys"/],
    [
      'doubles in a vocabulary',
      'features: { g: { kind: last, value: a, encode: { onehot: [a, b, a] } } }',
      /encode.onehot\[2\]: "a" stands twice/,
    ],
    [
      'time zone',
      'sources: { s: { mapping: ga4, timeZone: Europe/Brlin } }',
      /"Europe\/Brlin" is not an IANA time zone/,
    ],
    [
      'fused source among others',
      'sources: { s: { mapping: ga4, keyedBy: identity }, t: { mapping: ga4 } }',
      /sources.s.keyedBy: identity is possible only/,
    ],
    ['fused only source', 'sources: { s: { mapping: ga4, keyedBy: identity } }', undefined],
    ['ready mapping', 'sources: { s: { mapping: gaa4 } }', /no ready mapping "gaa4". Did you mean "ga4"\?/],
    [
      'identity priority',
      'identity: { allowed: [ECID], priority: [Ecid] }',
      /"Ecid" is not in identity.allowed. Did you mean "ECID"\?/,
    ],
    [
      'test source',
      'tests: [{ name: t, source: wbe, events: [1], expect: {} }]',
      /tests\[0\].source: no source "wbe". Did you mean "web"\?/,
    ],
    [
      'test code',
      'tests: [{ name: t, source: web, events: [1], expect: { rejected: [LAET] } }]',
      /no code "LAET". Did you mean "LATE"\?/,
    ],
    [
      'test feature',
      'tests: [{ name: t, source: web, events: [1], expect: { features: { ff: 1 } } }]',
      /no feature "ff"/,
    ],
    ['test score', 'tests: [{ name: t, source: web, events: [1], expect: { scores: { mm: 1 } } }]', /no model "mm"/],
    [
      'two tests of one name',
      'tests: [{ name: t, source: web, events: [1], expect: {} }, { name: t, source: web, events: [1], expect: {} }]',
      /tests\[1\].name: "t" is the name of test 1 too/,
    ],
  ])('%s', (_, lines, wanted) => {
    const own = new Set([...lines.matchAll(/^(\w+):/gm)].map(([, key]) => key))
    const sources = own.has('sources') ? '' : 'sources: { web: { mapping: ga4 } }\n'
    const text = `rtml: 1\nname: shop\n${sources}${own.has('features') ? '' : FEATURES}${lines}\n`
    const problems = problemsOf(text, { mappings: ['ga4', 'segment'] }).join('\n')
    if (wanted === undefined) expect(problems).toBe('')
    else if (typeof wanted === 'string') expect(problems).toContain(wanted)
    else expect(problems).toMatch(wanted)
  })
})
