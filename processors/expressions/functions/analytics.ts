import { spend } from '../work.ts'
import { toText } from './arguments.ts'
import type { FunctionSpec, Implementation } from './spec.ts'

/** `event101=5:123456`: name, value after `=`, id after `:`. */
interface AnalyticsEvent {
  readonly name: string
  readonly value: string | null
  readonly id: string | null
}

/** One product of a products string: category;name;quantity;price;events;evars. */
interface Product {
  readonly fields: readonly string[]
}

function parseEvent(text: string): AnalyticsEvent {
  const colon = text.indexOf(':')
  const head = colon === -1 ? text : text.slice(0, colon)
  const equals = head.indexOf('=')
  return {
    name: (equals === -1 ? head : head.slice(0, equals)).trim(),
    value: equals === -1 ? null : head.slice(equals + 1).trim() || null,
    id: colon === -1 ? null : text.slice(colon + 1).trim() || null,
  }
}

function eventsOf(text: string, separator: string, name: unknown): AnalyticsEvent[] {
  const wanted = toText(name, 'event name')
  spend(text.length / 16)
  return text
    .split(separator)
    .map(parseEvent)
    .filter((event) => event.name === wanted)
}

function productsOf(value: unknown): Product[] {
  const text = toText(value, 'products string')
  spend(text.length / 16)
  return text.split(',').map((product) => ({ fields: product.split(';').map((part) => part.trim()) }))
}

const column =
  (index: number): Implementation =>
  (products) =>
    productsOf(products).map(({ fields }) => fields[index] || null)

const productEvents = (products: unknown, name: unknown): AnalyticsEvent[] =>
  productsOf(products).flatMap(({ fields }) => eventsOf(fields[4] ?? '', '|', name))

function evars(products: unknown, name: unknown): string[] {
  const wanted = toText(name, 'eVar name')
  return productsOf(products).flatMap(({ fields }) =>
    (fields[5] ?? '').split('|').flatMap((pair) => {
      const at = pair.indexOf('=')
      return at !== -1 && pair.slice(0, at).trim() === wanted ? [pair.slice(at + 1)] : []
    }),
  )
}

const TWO = ';Example product 1;1;3.50,Example category 2;Example product 2'
const EVENTS = ';Example product 1;1;4.20;event1=2.3|event2=5:1,;Example product 2;1;4.20;event1=3|event2=2:2'

const analytics = (
  name: string,
  parameters: string,
  about: string,
  example: string,
  result: unknown,
  run: Implementation,
): FunctionSpec => ({
  name,
  group: 'Analytics',
  signature: `${name}(${parameters})`,
  about,
  example,
  result,
  arity: [parameters.split(',').length, parameters.split(',').length],
  bind: () => run,
})

export const analyticsFunctions: readonly FunctionSpec[] = [
  analytics(
    'aa_get_event_id',
    'events, name',
    'Id of an event in an Analytics event string.',
    'aa_get_event_id("event101=5:123456,scOpen", "event101")',
    '123456',
    (events, name) => eventsOf(toText(events, 'event string'), ',', name)[0]?.id ?? null,
  ),
  analytics(
    'aa_get_event_value',
    'events, name',
    'Value of an event in an Analytics event string; "1" when it has none.',
    'aa_get_event_value("event101=5:123456,scOpen", "event101")',
    '5',
    (events, name) => {
      const event = eventsOf(toText(events, 'event string'), ',', name)[0]
      return event === undefined ? null : (event.value ?? '1')
    },
  ),
  analytics(
    'aa_get_product_categories',
    'products',
    'Categories in an Analytics products string.',
    `aa_get_product_categories("${TWO}")`,
    [null, 'Example category 2'],
    column(0),
  ),
  analytics(
    'aa_get_product_names',
    'products',
    'Names in an Analytics products string.',
    `aa_get_product_names("${TWO}")`,
    ['Example product 1', 'Example product 2'],
    column(1),
  ),
  analytics(
    'aa_get_product_quantities',
    'products',
    'Quantities in an Analytics products string.',
    `aa_get_product_quantities("${TWO}")`,
    ['1', null],
    column(2),
  ),
  analytics(
    'aa_get_product_prices',
    'products',
    'Prices in an Analytics products string.',
    `aa_get_product_prices("${TWO}")`,
    ['3.50', null],
    column(3),
  ),
  analytics(
    'aa_get_product_event_values',
    'products, name',
    'Values of an event in an Analytics products string.',
    `aa_get_product_event_values("${EVENTS}", "event1")`,
    ['2.3', '3'],
    (products, name) => productEvents(products, name).map((event) => event.value ?? '1'),
  ),
  analytics(
    'aa_get_product_event_ids',
    'products, name',
    'Ids of an event in an Analytics products string.',
    `aa_get_product_event_ids("${EVENTS}", "event2")`,
    ['1', '2'],
    (products, name) => productEvents(products, name).map((event) => event.id),
  ),
  analytics(
    'aa_get_product_events',
    'products, name',
    'Ids and values of an event in an Analytics products string.',
    `aa_get_product_events("${EVENTS}", "event2")`,
    [
      { id: '1', value: '5' },
      { id: '2', value: '2' },
    ],
    (products, name) => productEvents(products, name).map(({ id, value }) => ({ id, value: value ?? '1' })),
  ),
  analytics(
    'aa_get_product_evars',
    'products, name',
    'Values of a merchandising eVar in an Analytics products string.',
    'aa_get_product_evars(";Example product;1;6.69;;eVar1=Merchandising value", "eVar1")',
    ['Merchandising value'],
    evars,
  ),
]
