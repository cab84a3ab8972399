/** Segments and decisions while the application runs: read, check, try, change. */
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { parseDuration } from '../../app/duration.ts'
import { RtmlError } from '../../app/errors.ts'
import type { XdmEvent } from '../../app/event.ts'
import { groupOf } from '../../app/topics.ts'
import { epochMs } from '../../app/units.ts'
import type { Chosen } from '../../decisions/decide.ts'
import { previewRules } from '../../host/rule-preview.ts'
import type { RuleBook } from '../../runtime/rules/rule-book.ts'
import { isGone, type Overlay, type RuleChange } from '../../runtime/rules/rule-record.ts'
import { RULES_KEY, unpackShardRules } from '../../runtime/rules/shard-rules.ts'
import { PSEUDONYM_BYTES } from '../../runtime/stages/profile-state.ts'
import { audited } from '../audit.ts'
import { isAnonymous } from '../auth/guard.ts'
import type { Edge } from '../edge.ts'
import { Problem } from '../problem.ts'
import { profileTopic } from '../profile-reader.ts'
import type { RuleDecisions } from '../rule-decisions.ts'
import {
  changedAnswer,
  checkAnswer,
  definitionsBody,
  historyAnswer,
  parseDecision,
  parseSegment,
  previewAnswer,
  previewBody,
  replayAnswer,
  replayBody,
  ruleBody,
  ruleParams,
  ruleQuery,
  rulesAnswer,
} from '../schemas-rules.ts'
import { NO_KEY } from './predict.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

const BODY_BYTES = 262_144
const PREVIEW_MS = 2_000
const KINDS = { segments: 'segment', decisions: 'decision' } as const

interface Params {
  readonly name: string
}

export function ruleRoutes({ server, edge }: RouteContext): void {
  server.get('/v1/rules', {
    config: { scope: 'rules:read' },
    schema: {
      tags: ['rules'],
      summary: 'Segments and decisions that hold',
      response: answers({ 200: rulesAnswer }, [404]),
    },
    handler: async () => listOf(bookOf(edge()), await revisionInStream(edge())),
  })
  server.get('/v1/rules/history', {
    config: { scope: 'rules:read' },
    schema: {
      tags: ['rules'],
      summary: 'Changes of segments and decisions, newest first: what, who, when, why',
      response: answers({ 200: historyAnswer }, [404]),
    },
    handler: async () => ({
      changes: bookOf(edge())
        .history.map(({ revision, kind, name, definition, by, why, at }) => ({
          revision,
          kind,
          name,
          definition,
          by,
          why,
          at,
        }))
        .reverse(),
    }),
  })
  server.route<{ Body: z.output<typeof definitionsBody> }>({
    method: 'POST',
    url: '/v1/rules/check',
    bodyLimit: BODY_BYTES,
    config: { scope: 'rules:read' },
    schema: {
      tags: ['rules'],
      summary: 'Whether definitions are possible on top of the ones that hold',
      body: inputOf(definitionsBody),
      response: answers({ 200: checkAnswer }, [404, 413, 415, 422]),
    },
    handler: async ({ body }) => check(bookOf(edge()), body),
  })
  server.route<{ Body: z.output<typeof previewBody> }>({
    method: 'POST',
    url: '/v1/decisions/preview',
    bodyLimit: BODY_BYTES,
    config: { scope: 'rules:read' },
    schema: {
      tags: ['rules'],
      summary: 'What a profile would be in and get now, also with other definitions; nothing is kept',
      body: inputOf(previewBody),
      response: answers({ 200: previewAnswer }, [404, 413, 415, 422]),
    },
    handler: ({ body }) => preview(edge(), body),
  })
  let isReplaying = false
  server.route<{ Body: z.output<typeof replayBody> }>({
    method: 'POST',
    url: '/v1/rules/preview',
    bodyLimit: BODY_BYTES,
    config: { scope: 'rules:read' },
    schema: {
      tags: ['rules'],
      summary: 'What would have changed with other definitions: a replay of the log; nothing is kept',
      body: inputOf(replayBody),
      response: answers({ 200: replayAnswer }, [404, 413, 415, 422]),
    },
    handler: async ({ body }) => {
      if (isReplaying) throw new Problem('unavailable', 'Another replay is under way.', { retryAfterS: 5 })
      isReplaying = true
      try {
        return await replay(edge(), body)
      } finally {
        isReplaying = false
      }
    },
  })
  for (const section of ['segments', 'decisions'] as const) {
    const url = `/v1/rules/${section}/:name`
    server.route<{ Params: Params; Body: z.output<typeof ruleBody> }>({
      method: 'PUT',
      url,
      bodyLimit: BODY_BYTES,
      config: { scope: 'rules:write' },
      schema: {
        tags: ['rules'],
        summary: `Change or add one of the ${section}`,
        params: ruleParams,
        body: inputOf(ruleBody),
        response: answers({ 200: changedAnswer }, [404, 409, 413, 415, 422]),
      },
      handler: (request) => {
        const { definition, revision, why } = request.body
        const parsed = parse(section, request.params.name, definition)
        return change(edge(), request, section, { definition: parsed, base: revision, why })
      },
    })
    server.route<{ Params: Params; Querystring: z.output<typeof ruleQuery> }>({
      method: 'DELETE',
      url,
      config: { scope: 'rules:write' },
      schema: {
        tags: ['rules'],
        summary: `Take a change of one of the ${section} back: as in the application file, or gone`,
        params: ruleParams,
        querystring: inputOf(ruleQuery),
        response: answers({ 200: changedAnswer }, [404, 409, 413, 415, 422]),
      },
      handler: (request) => {
        const { revision, why } = request.query
        const { overlay } = bookOf(edge())
        if (!Object.hasOwn(overlay[section], request.params.name)) {
          throw new Problem(
            'not-found',
            'It was not changed while the application runs: what its file says is changed there.',
          )
        }
        return change(edge(), request, section, { definition: null, base: Number(revision), why })
      },
    })
  }
}

/** @throws Problem when the application has neither segments nor decisions */
function bookOf({ book }: Edge): RuleBook {
  if (book) return book
  throw new Problem('not-found', 'The application file has neither segments nor decisions.')
}

/** The lowest of the partitions. @throws RtmlError STORE_DOWN */
async function revisionInStream({ plan, engine, reader }: Edge): Promise<number> {
  const shard = { group: groupOf(plan.app, 'profile'), topic: profileTopic(plan) }
  const partitions = Array.from({ length: reader.partitions }, (_, partition) => partition)
  const found = await Promise.all(
    partitions.map((partition) => engine.store.load({ ...shard, partition }, [RULES_KEY])),
  )
  return Math.min(...found.map(([packed]) => (packed ? unpackShardRules(packed, PSEUDONYM_BYTES).revision : 0)))
}

function listOf({ revision, current, overlay, file }: RuleBook, inStream: number): z.output<typeof rulesAnswer> {
  const list = (section: 'segments' | 'decisions') =>
    Object.entries(current.definitions[section])
      .filter(([, definition]) => !('when' in definition && isGone(definition)))
      .map(([name, definition]) => ({
        name,
        origin: !Object.hasOwn(overlay[section], name)
          ? ('file' as const)
          : Object.hasOwn(file[section], name)
            ? ('changed' as const)
            : ('added' as const),
        definition: definition as unknown as Record<string, unknown>,
      }))
  return { revision, inStream, segments: list('segments'), decisions: list('decisions') }
}

type Definition = NonNullable<RuleChange['definition']>

/** @throws Problem naming what is wrong */
function parse(section: keyof typeof KINDS, name: string, definition: unknown): Definition {
  const parsed = section === 'segments' ? parseSegment(definition) : parseDecision(definition)
  if (parsed.success) return parsed.data as Definition
  throw new Problem('unprocessable', 'The definition is not valid.', {
    errors: parsed.error.issues
      .slice(0, 20)
      .map(({ path, message }) => `${[section, name, ...path].join('.')}: ${message}`),
  })
}

function parseAll(body: z.output<typeof definitionsBody>): Partial<Overlay> {
  const all = (section: 'segments' | 'decisions') =>
    Object.fromEntries(Object.entries(body[section] ?? {}).map(([name, it]) => [name, parse(section, name, it)]))
  return { segments: all('segments'), decisions: all('decisions') } as Partial<Overlay>
}

function check(book: RuleBook, body: z.output<typeof definitionsBody>): z.output<typeof checkAnswer> {
  try {
    book.compileWith(parseAll(body))
    return { valid: true, problems: [] }
  } catch (error) {
    if (error instanceof Problem)
      return {
        valid: false,
        problems: (error.errors ?? []).map((it) => ({ place: it.split(': ', 1)[0] ?? '', message: it })),
      }
    if (error instanceof RtmlError && error.code === 'CONFIG')
      return { valid: false, problems: [{ place: error.place ?? '', message: error.message }] }
    throw error
  }
}

async function change(
  edge: Edge,
  request: FastifyRequest<{ Params: Params }>,
  section: keyof typeof KINDS,
  { definition, base, why }: Pick<RuleChange, 'definition' | 'base' | 'why'>,
): Promise<z.output<typeof changedAnswer>> {
  const book = bookOf(edge)
  const { name } = request.params
  const kind = KINDS[section]
  const by = isAnonymous(request.principal) ? 'local' : request.principal.id
  const at = new Date(edge.clock.now()).toISOString()
  return audited(edge, request, { action: 'rules.apply', subject: `${kind}:${name}`, reason: why }, async (note) => {
    const id = randomUUID()
    const changed = await book.change({ id, kind, name, definition, base, by, why, at }).catch((error: unknown) => {
      if (error instanceof RtmlError && error.code === 'CONFIG') throw new Problem('unprocessable', error.message)
      throw error
    })
    if (changed.kind === 'conflict') {
      throw new Problem(
        'conflict',
        `The newest revision is ${changed.revision}. Read the rules again, and change those.`,
      )
    }
    note({ revision: changed.revision })
    return { revision: changed.revision, notes: notesOf(kind) }
  })
}

const notesOf = (kind: RuleChange['kind']): string[] =>
  kind === 'decision'
    ? ['It holds at every edge as soon as it has read the change.']
    : [
        'It holds at every edge as soon as it has read the change, and in the stream from a position of each partition on.',
        'A profile is looked at again at its next event or timer; conditions over events read what states keep already.',
      ]

async function preview(edge: Edge, body: z.output<typeof previewBody>): Promise<z.output<typeof previewAnswer>> {
  const book = bookOf(edge)
  const { identity, xdm } = body
  const key = edge.keyOf(identity)
  if (key === undefined) throw new Problem('not-found', `${identity.namespace}: ${NO_KEY}.`)
  const now = edge.clock.now()
  const event: XdmEvent = {
    id: 'preview',
    ts: epochMs(now),
    key,
    xdm: { ...xdm, _id: 'preview', timestamp: new Date(now).toISOString() },
  }
  const evaluation = await edge.evaluator.evaluate({ key, events: xdm ? [event] : [], budgetMs: PREVIEW_MS })
  const { vector, scores, at, state, profile, missing } = evaluation
  const scopes = body.scopes ?? [...new Set(book.current.decisions.flatMap((it) => it.scopes))]
  const asked = { event, vector, scores, at, state, rules: profile?.rules, missing, scopes, schemas: [] }
  const decisions = edge.rules as RuleDecisions
  const isCompared = body.segments !== undefined || body.decisions !== undefined
  return {
    ...shown(decisions.explain(asked)),
    evaluatedAt: new Date(at).toISOString(),
    missing: [...missing],
    with: isCompared ? shown(decisions.explain(asked, compiled(book, body))) : null,
  }
}

async function replay(edge: Edge, body: z.output<typeof replayBody>): Promise<z.output<typeof replayAnswer>> {
  const book = bookOf(edge)
  const { segments, decisions } = book.current.definitions
  const more = parseAll(body)
  const { plan, engine, clock } = edge
  try {
    const preview = await previewRules({
      plan,
      engine,
      clock,
      before: { segments, decisions },
      after: { segments: { ...segments, ...more.segments }, decisions: { ...decisions, ...more.decisions } },
      lastMs: parseDuration(body.last ?? '6h') ?? 0,
      now: clock.now(),
      env: (name) => edge.env[name],
    })
    return {
      ...preview,
      segments: [...preview.segments],
      decisions: preview.decisions.map((it) => ({ ...it, before: { ...it.before }, after: { ...it.after } })),
    }
  } catch (error) {
    if (error instanceof RtmlError && error.code === 'CONFIG') throw new Problem('unprocessable', error.message)
    throw error
  }
}

function compiled(book: RuleBook, body: z.output<typeof definitionsBody>) {
  try {
    return book.compileWith(parseAll(body))
  } catch (error) {
    if (error instanceof RtmlError && error.code === 'CONFIG') throw new Problem('unprocessable', error.message)
    throw error
  }
}

const shown = ({ segments, chosen }: { segments: readonly string[]; chosen: readonly Chosen[] }) => ({
  segments: [...segments],
  decisions: chosen.map(({ rule, candidates, ...rest }) => ({
    ...rest,
    rule: rule ?? null,
    candidates: [...candidates],
  })),
})
