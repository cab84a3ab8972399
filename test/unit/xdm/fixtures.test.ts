import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Identity, Xdm } from '../../../processors/app/event.ts'
import { FIELD_GROUPS, unprefix } from '../../../processors/xdm/index.ts'
import { schema } from './default-schema.ts'
import fixtures from './testdata/fixtures.json' with { type: 'json' }

const HEAD = { '@id': 'e-1', 'xdm:timestamp': '2026-03-02T17:22:10Z' }
const valid = Object.entries(fixtures.valid as Record<string, object>)
const invalid = Object.entries(fixtures.invalid)

describe('fixtures in the prefixed and the wire form', () => {
  it('has a fixture of every field group', () => {
    expect(valid.map(([group]) => group).sort()).toEqual([...FIELD_GROUPS].sort())
  })

  it.each(valid)('accepts %s, drops nothing, and keeps it through Avro', (_, fixture) => {
    const wire = unprefix({ ...HEAD, ...fixture })
    expect(JSON.stringify(wire)).not.toMatch(/"(xdm|schema|dc):|"@id"/)
    expect(unprefix(wire)).toEqual(wire)

    const { xdm, problems, dropped } = schema.conform(wire)
    expect(problems).toEqual([])
    expect(dropped).toEqual([])
    expect(schema.validate(xdm)).toEqual([])
    expect(schema.validate(wire as Xdm)).toEqual([])
    expect(schema.decode(schema.encode({ id: '', ts: 0 as never, key: '', xdm })).xdm).toEqual(xdm)
  })

  it.each(invalid)('refuses %s in both', (_, { code, path, event }) => {
    const wire = unprefix({ ...HEAD, ...event })
    const { problems } = schema.conform(wire)
    expect(problems).toEqual([expect.objectContaining({ code, path })])
    expect(schema.validate(wire as Xdm)).toContainEqual(expect.objectContaining({ code, path }))
  })

  it('leaves the offending part out and keeps the rest valid', () => {
    for (const [, { event }] of invalid.filter(([, it]) => it.code !== 'IDENTITY')) {
      const { xdm } = schema.conform(unprefix({ ...HEAD, ...event }))
      expect(schema.validate(xdm)).toEqual([])
    }
  })
})

describe('events of a real shop', () => {
  const lines = gunzipSync(readFileSync(new URL('testdata/luma-200.jsonl.gz', import.meta.url)))
    .toString()
    .trim()
    .split('\n')
  type LumaEvent = { endUserIDs: { _experience: { mcid: { id: string; namespace: { code: string } } } } }

  /** What the mapping of this source does: the Experience Cloud id becomes the primary identity. */
  const lifted = (event: LumaEvent): object => {
    const { id, namespace } = event.endUserIDs._experience.mcid
    const identity: Identity = { id, primary: true }
    return { ...event, identityMap: { [namespace.code]: [identity] } }
  }

  it('conform, validate, and come back from Avro with key and time', () => {
    expect(lines).toHaveLength(200)
    for (const line of lines) {
      const event = JSON.parse(line) as LumaEvent & { timestamp: string }
      const { xdm, problems, dropped } = schema.conform(lifted(event))
      expect(problems).toEqual([])
      expect(dropped.every((it) => ['receivedTimestamp', 'dataSource', '_experience'].includes(it))).toBe(true)
      expect(schema.validate(xdm)).toEqual([])

      const decoded = schema.decode(schema.encode({ id: '', ts: 0 as never, key: '', xdm }))
      expect(decoded.xdm).toEqual(xdm)
      expect(decoded.id).toBe(xdm._id)
      expect(decoded.ts).toBe(Date.parse(event.timestamp))
      expect(decoded.key).toBe(`ECID:${event.endUserIDs._experience.mcid.id}`)
    }
  })
})
