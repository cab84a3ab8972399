/**
 * Nanoseconds of processor time an evaluation (user time, so that a busy machine doesn't count): `node test/bench/expressions.ts [--json]`.
 * Every expression runs over 256 varied records for half a second; the empty loop's own time is part of the figures (see `"checkout"`).
 */

import type { EpochMs } from '../../processors/app/units.ts'
import { createExpressions } from '../../processors/expressions/index.ts'

const EXPRESSIONS = [
  'eventType',
  'commerce.order.priceTotal',
  '"checkout"',
  'eventType == "commerce.purchases"',
  'eventType != "commerce.purchases"',
  'eventType in ["commerce.purchases", "commerce.checkouts", "commerce.productViews"]',
  'eventType == "commerce.purchases" && commerce.order.currencyCode == "USD"',
  'eventType == "a" || eventType == "b" || eventType == "commerce.purchases"',
  'commerce.order.priceTotal > 100',
  'commerce.order.priceTotal * 1.19 + 4.9',
  'item.sku',
  'coalesce(web.webReferrer.URL, web.webPageDetails.URL)',
  'productListItems[0].SKU',
  'productListItems[*].SKU',
  'productListItems.map(i, i.priceTotal * i.quantity)',
  'productListItems.exists(i, i.SKU == "sku-3")',
  'iif(eventType == "commerce.purchases", "buy", "look")',
  'decode(commerce.order.currencyCode, "USD", 1, "EUR", 1.1, 0)',
  'lower(eventType)',
  'concat(eventType, "/", commerce.order.currencyCode)',
  'split(eventType, ".")',
  'to_decimal(priceText)',
  'date(timestamp)',
  'date(timestamp) < "2030-01-01T00:00:00Z"',
  'date(local, "dd/MM/yyyy HH:mm:ss")',
  `dformat(1571829875000, "yyyy-MM-dd'T'HH:mm:ss.SSSX")`,
  'get_url_host(web.webPageDetails.URL)',
  'get_url_query_str(web.webPageDetails.URL, "remove").utm_source',
  'sha256(lower(trim(email)))',
  'matches_regex(eventType, "commerce\\\\.[a-z]+")',
  'web.webPageDetails.URL.matches("/products/[0-9]+")',
  'ua_device_class(userAgent)',
]

function record(index: number): object {
  return {
    eventType:
      index % 3 === 0 ? 'commerce.purchases' : index % 3 === 1 ? 'web.webpagedetails.pageViews' : 'commerce.checkouts',
    timestamp: new Date(1_700_000_000_000 + index * 1_001).toISOString(),
    local: '23/10/2019 11:24:35',
    email: `  User${index}@Example.com `,
    priceText: `${index}.50`,
    userAgent: `Mozilla/5.0 (iPhone; CPU iPhone OS 5_1_${index % 9} like Mac OS X) AppleWebKit/534.46 Version/5.1 Mobile/9B206 Safari/7534.48.3`,
    commerce: { order: { priceTotal: index * 1.5, currencyCode: index % 2 ? 'USD' : 'EUR' } },
    web: { webPageDetails: { URL: `https://shop.example.com/products/${index}?utm_source=google&utm_medium=cpc#top` } },
    productListItems: [1, 2, 3].map((n) => ({ SKU: `sku-${n + (index % 4)}`, quantity: n, priceTotal: n * 2.5 })),
  }
}

const roots = Array.from({ length: 256 }, (_, index) => JSON.parse(JSON.stringify(record(index))) as object)
const variables = { item: { sku: 'a' } }
const expressions = createExpressions({ clock: () => 0 as EpochMs })
const compiled = EXPRESSIONS.map((source) => expressions.compile(source, { variables: ['item'] }))
const results: { expression: string; ns: number }[] = []
let sink: unknown

for (const expression of compiled)
  for (let i = 0; i < 2_000; i++) sink = expression.evaluate(roots[i & 255]!, variables)
for (const expression of compiled) {
  const started = process.cpuUsage()
  let count = 0
  let elapsedUs = 0
  while (elapsedUs < 500_000) {
    for (let i = 0; i < 20_000; i++) sink = expression.evaluate(roots[i & 255]!, variables)
    count += 20_000
    elapsedUs = process.cpuUsage(started).user
  }
  results.push({ expression: expression.source, ns: Math.round((elapsedUs / count) * 10_000) / 10 })
}
if (sink === roots) throw new Error('unreachable: keeps the results alive')
if (process.argv.includes('--json')) console.log(JSON.stringify(results))
else for (const { expression, ns } of results) console.log(`${String(ns).padStart(9)} ns  ${expression}`)
