import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { mappingSchema } from '../../../processors/app/schema.ts'
import { loadMapping, READY_MAPPINGS } from '../../../processors/mapper/index.ts'
import { mapperOf, readFile, record } from './harness.ts'

const files =
  (texts: Record<string, string>) =>
  (file: string): string =>
    texts[file] ?? readFile(file)

describe('loadMapping', () => {
  it('knows every file of schemas/mappings but the shared base', () => {
    const names = readdirSync(new URL('../../../schemas/mappings/', import.meta.url)).map((file) =>
      file.replace('.yaml', ''),
    )
    expect(names.filter((name) => name !== 'measures').sort()).toEqual([...READY_MAPPINGS].sort())
  })

  it('names the nearest ready mapping', async () => {
    await expect(loadMapping('segmnt', readFile)).rejects.toThrow('Did you mean "segment"?')
    await expect(loadMapping('./nowhere.yaml', readFile)).rejects.toThrow('CONFIG ./nowhere.yaml')
  })

  it('names file, line and nearest key', async () => {
    const text = 'mapping: mine\nfields:\n  eventType:\n    form: x\n'
    await expect(loadMapping('./mine.yaml', files({ './mine.yaml': text }))).rejects.toThrow(
      /CONFIG \.\/mine\.yaml:4:5 .*Did you mean "from"\?/s,
    )
  })

  it('refuses a circle of extends', async () => {
    const read = files({
      './a.yaml': 'mapping: a\nextends: ./b.yaml\nfields: {}\n',
      './b.yaml': 'mapping: b\nextends: ./a.yaml\nfields: {}\n',
    })
    await expect(loadMapping('./a.yaml', read)).rejects.toThrow('./a.yaml → ./b.yaml → ./a.yaml')
  })

  it('adds an own event to a ready mapping by a bare table, and replaces a field by its name', async () => {
    const mine = {
      extends: 'segment',
      let: { known: { table: { 'quote requested': 'leadOperation.newLead' } } },
      fields: { 'identityMap.CRMID': 'item.properties.customer', 'web.webPageDetails.name': '"mine"' },
    }
    const loaded = await loadMapping(mappingSchema.parse({ mapping: 'mine', ...mine }), readFile)
    expect(loaded.format).toBe('json')
    const mapper = await mapperOf(mine)
    const call = {
      type: 'track',
      event: 'Quote Requested',
      messageId: 'm',
      anonymousId: 'a',
      timestamp: '2024-01-01T00:00:00Z',
      properties: { customer: 7 },
    }
    expect(mapper.map(record(call)).events[0]?.xdm).toMatchObject({
      eventType: 'leadOperation.newLead',
      identityMap: { AnonymousID: [{ id: 'a', primary: true }], CRMID: [{ id: '7' }] },
      web: { webPageDetails: { name: 'mine' } },
    })
    expect(mapper.map(record({ ...call, event: 'Order Completed' })).events[0]?.xdm.eventType).toBe(
      'commerce.purchases',
    )
  })
})
