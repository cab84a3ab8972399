import fc from 'fast-check'
import type { Xdm } from '../../../processors/app/event.ts'
import type { RecordType, XdmType } from '../../../processors/xdm/index.ts'
import { MAX_WHOLE, MIN_WHOLE } from '../../../processors/xdm/types.ts'

const MOST_FIELDS = 6

/** Events of a schema: few fields at a time, every type and limit of it. Conforming as they are. */
export function randomEvent(root: RecordType): fc.Arbitrary<Xdm> {
  return record(root, 0).map((event) => onePrimary(event as Xdm))
}

function record(type: RecordType, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const required = [...type.fields].filter(([, field]) => field.required).map(([name]) => name)
  const optional = [...type.fields.keys()].filter((name) => !required.includes(name))
  const most = Math.max(1, MOST_FIELDS - depth)
  return fc.subarray(optional, { maxLength: Math.min(most, optional.length) }).chain((chosen) => {
    const names = [...required, ...chosen]
    return fc
      .tuple(...names.map((name) => value(type.fields.get(name)!.type, depth + 1)))
      .map((values) => Object.fromEntries(names.map((name, index) => [name, values[index]])))
  })
}

const text = fc.string({ unit: 'binary', maxLength: 40 })
const key = fc.string({ unit: 'binary', maxLength: 12 }).filter((it) => it !== '__proto__')

function value(type: XdmType, depth: number): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'record':
      return record(type, depth)
    case 'array': {
      const { minItems = 0, maxItems = 3 } = type
      return fc.array(value(type.items, depth), { minLength: minItems, maxLength: Math.max(minItems, maxItems) })
    }
    case 'map':
      return fc.dictionary(key, value(type.values, depth), { maxKeys: 3, noNullPrototype: true })
    case 'boolean':
      return fc.boolean()
    case 'integer':
      return fc
        .maxSafeInteger()
        .map((it) => Math.max(MIN_WHOLE, Math.min(MAX_WHOLE, it)))
        .filter((it) => it >= (type.minimum ?? it) && it <= (type.maximum ?? it))
    case 'number': {
      const { minimum = -1e300, maximum = 1e300, exclusiveMinimum } = type
      return fc
        .double({ min: exclusiveMinimum ?? minimum, max: maximum, noNaN: true })
        .filter((it) => exclusiveMinimum === undefined || it > exclusiveMinimum)
    }
    case 'date-time':
      return instant.map((date) => date.toISOString())
    case 'date':
      return instant.map((date) => date.toISOString().slice(0, 10))
    case 'string':
      return textOf(type)
  }
}

const instant = fc.date({
  min: new Date('0000-01-01T00:00:00.000Z'),
  max: new Date('9999-12-31T23:59:59.999Z'),
  noInvalidDate: true,
})

function textOf(type: XdmType & { kind: 'string' }): fc.Arbitrary<string> {
  if (type.enum) return fc.constantFrom(...type.enum)
  if (type.format === 'uri') return fc.webUrl()
  if (type.format === 'ipv4') return fc.ipV4()
  if (type.format === 'ipv6') return fc.ipV6()
  if (type.pattern)
    return fc
      .constantFrom('EUR', 'US', 'en-GB', 'zh-Hant-TW', 'x-own')
      .filter((it) => new RegExp(type.pattern!).test(it))
  const { minLength = 0, maxLength = 40 } = type
  return text.filter((it) => [...it].length >= minLength && [...it].length <= maxLength)
}

function onePrimary(event: Xdm): Xdm {
  let seen = false
  for (const identity of Object.values(event.identityMap ?? {}).flat()) {
    if (identity.primary && seen) identity.primary = false
    seen ||= identity.primary === true
  }
  return event
}
