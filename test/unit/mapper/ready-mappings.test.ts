/**
 * Golden files: each payload in testdata/<mapping>/<case>.in.json gives exactly <case>.out.json.
 * `UPDATE_GOLDEN=1 vitest run test/unit/mapper/ready-mappings.test.ts` writes them anew; review the difference.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { READY_MAPPINGS } from '../../../processors/mapper/index.ts'
import { headers, mapperOf, record, testdata } from './harness.ts'

interface Payload {
  readonly about: string
  readonly origin: string
  readonly headers?: Record<string, string>
  readonly text: string
}

/** The body goes in as the file has it: parsing it here would cut the digits of large ids. */
function read(path: string): Payload {
  const text = readFileSync(new URL(path, testdata), 'utf8')
  const { body, ...payload } = JSON.parse(text)
  if (body === undefined) return payload
  return { ...payload, text: text.slice(text.indexOf('"body":') + '"body":'.length, text.lastIndexOf('}')) }
}

for (const mapping of READY_MAPPINGS) {
  describe(mapping, async () => {
    const cases = readdirSync(new URL(`${mapping}/`, testdata)).filter((file) => file.endsWith('.in.json'))
    const mapper = await mapperOf(mapping)
    for (const file of cases) {
      const name = file.replace('.in.json', '')
      const payload: Payload = read(`${mapping}/${file}`)
      it(`${name}: ${payload.about}`, () => {
        const result = mapper.map(record(payload.text, { headers: headers(payload.headers ?? {}) }))
        const actual = {
          events: result.events.map(({ key, xdm }) => ({ key, xdm })),
          rejected: result.rejected,
          skipped: result.skipped,
          nulled: Object.fromEntries(result.nulled),
          dropped: [...result.dropped.keys()],
        }
        const golden = new URL(`${mapping}/${name}.out.json`, testdata)
        if (process.env.UPDATE_GOLDEN || !existsSync(golden))
          writeFileSync(golden, `${JSON.stringify(actual, null, 2)}\n`)
        expect(actual).toEqual(JSON.parse(readFileSync(golden, 'utf8')))
        for (const { xdm, ts, id, key } of result.events) {
          expect(mapper.schema.validate(xdm)).toEqual([])
          expect(new Date(ts).toISOString()).toBe(xdm.timestamp)
          expect(id).toBe(xdm._id)
          const primaries = Object.entries(xdm.identityMap ?? {}).flatMap(([namespace, list]) =>
            list.filter((it) => it.primary).map((it) => `${namespace}:${it.id}`),
          )
          expect(primaries).toEqual([key])
        }
      })
    }
  })
}
