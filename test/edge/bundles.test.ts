/** Bundles over HTTP: deployed when their own tests are equal here, asked, replaced, refused, taken away. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bundle, graph, sha256 } from '../unit/graph/support.ts'
import { type Fixture, fixture } from './fixture.ts'

let it_: Fixture
beforeAll(async () => {
  it_ = await fixture()
})
afterAll(() => it_[Symbol.asyncDispose]())

const MODULE = 'export default ({ age }) => ({ decade: age.map((v) => Math.floor(v / 10)) })'

/** Insurance, as anybody asks for it: columns that no profile has. `wrong`: what its author says of the second row. */
function insurance(name: string, { factor = 2, wrong = 0 } = {}): Uint8Array {
  const nodes = [
    {
      id: 'in',
      op: 'input',
      params: {
        columns: [
          { name: 'age', type: 'float64' },
          { name: 'brand', type: 'string' },
        ],
      },
    },
    { id: 'adults', op: 'filter', params: { where: { fn: 'ge', args: [{ col: 'age' }, { lit: 18 }] } } },
    { id: 'fill', op: 'fill', params: { values: { brand: 'other' } } },
    {
      id: 'decade',
      op: 'custom',
      params: {
        module: sha256(MODULE),
        inputs: ['age'],
        outputs: [{ name: 'decade', type: 'int64' }],
        timeoutMs: 1000,
      },
    },
    {
      id: 'price',
      op: 'compute',
      params: { as: 'price', expr: { fn: 'mul', args: [{ col: 'decade' }, { lit: factor }] } },
    },
  ]
  return bundle({
    graph: { ...graph(nodes, { node: 'price', columns: ['price', 'brand'] }), name },
    modules: [MODULE],
    questions: [{ record: { age: 45, brand: 'a' } }, { record: { age: 31 } }, { record: { age: 3 } }],
    expected: [
      { output: { price: 4 * factor, brand: 'a' }, nodes: { decade: { decade: 4 } } },
      { output: { price: 3 * factor + wrong, brand: 'other' }, nodes: { decade: { decade: 3 } } },
      { output: null },
    ],
    more: { 'provenance.json': JSON.stringify({ created: '2026-01-01T00:00:00Z', metrics: { auc: 0.8 } }) },
  })
}

/** Of the application's own features. */
const ofFeatures = () =>
  bundle({
    graph: {
      ...graph(
        [
          { id: 'in', op: 'input', params: { columns: [{ name: 'views', type: 'float64' }] } },
          {
            id: 'page',
            op: 'compute',
            params: { as: 'score', expr: { fn: 'add', args: [{ col: 'views' }, { lit: 1 }] } },
          },
        ],
        { node: 'page', columns: ['score'] },
      ),
      name: 'more_views',
    },
    questions: [{ record: { views: 1 } }],
    expected: [{ output: { score: 2 } }],
  })

const push = (payload: Uint8Array, query = '') =>
  it_.server.inject({
    method: 'POST',
    // A busy machine may take more than the usual 50 ms.
    url: `/v1/bundles?manifest=${encodeURIComponent('{"deadline":"5s"}')}${query.replace('?', '&')}`,
    headers: { 'content-type': 'application/zip' },
    payload: Buffer.from(payload),
  })
const ask = async (service: string, payload: object) =>
  (await it_.server.inject({ method: 'POST', url: `/v1/predict/${service}`, payload })).json()

describe('POST /v1/bundles', () => {
  it('deploys a graph of the request’s own columns to the edge, and answers questions and frames', async () => {
    const answer = await push(insurance('insurance'), '?targets=edge')
    expect([answer.statusCode, answer.json()]).toEqual([
      200,
      {
        service: 'insurance',
        version: '1',
        id: sha256(insurance('insurance')),
        tests: 3,
        url: '/v1/predict/insurance',
        serving: true,
      },
    ])
    const records = [{ record: { age: 45, brand: 'a' } }, { record: { age: 3 } }, { record: { age: 'old' } }]
    const { predictions } = await ask('insurance', { records })
    expect(predictions).toMatchObject([
      { score: 8, output: { price: 8, brand: 'a' }, version: '1', fallback: 'none' },
      { score: null, output: null },
      { score: null, output: null },
    ])
    const frame = await ask('insurance', { age: { 10: 21, 9: 60 }, brand: { 10: 'b', 9: null } })
    expect(frame.predictions).toMatchObject([
      { row: '9', output: { price: 12, brand: 'other' } },
      { row: '10', output: { price: 4, brand: 'b' } },
    ])
  })

  it('lists it in the gallery, with where it comes from', async () => {
    const service = (await it_.server.inject('/v1/services/insurance')).json()
    expect(service).toMatchObject({
      id: 'insurance',
      type: 'edge',
      versions: [{ origin: 'bundle', metrics: { auc: 0.8 }, provenance: { graph: 'insurance', tests: 3 } }],
    })
    expect([service.created, service.updated]).toEqual([expect.any(String), expect.any(String)])
  })

  it('takes the same bundle for the same version, and another for the next, at once', async () => {
    expect((await push(insurance('insurance'), '?targets=edge')).json()).toMatchObject({ version: '1' })
    expect((await push(insurance('insurance', { factor: 3 }))).json()).toMatchObject({ version: '2', serving: true })
    expect((await ask('insurance', { record: { age: 45 } })).predictions[0].output.price).toBe(12)
  })

  it('serves a graph of the application’s features on the stream, too', async () => {
    expect((await push(ofFeatures())).json()).toMatchObject({ service: 'more_views', serving: true })
    expect((await ask('more_views', { features: { views: 4 } })).predictions[0]).toMatchObject({
      score: 5,
      output: { score: 5 },
    })
    expect((await it_.server.inject('/v1/services/more_views')).json()).toMatchObject({ type: 'both' })
  })

  it.each<[string, () => Uint8Array, string, RegExp]>([
    [
      'its tests differ',
      () => insurance('liar', { wrong: 0.001 }),
      '?targets=edge',
      /BUNDLE liar: its tests differ at tests\/input\.jsonl line 2, node price, column price: expected 6\.001, got 6\. Nothing was deployed/,
    ],
    [
      'it reads what is no feature, for the stream',
      () => insurance('hub'),
      '?targets=hub',
      /node in: column "age" \(float64\) is no feature\. .*deploy: edge/,
    ],
    [
      'it has no tests',
      () =>
        bundle({
          graph: graph([{ id: 'in', op: 'input', params: { columns: [{ name: 'views', type: 'float64' }] } }], {
            node: 'in',
            columns: ['views'],
          }),
        }),
      '',
      /has no tests/,
    ],
    ['its name can’t be a service', () => insurance('a.b'), '?targets=edge', /"a\.b" can't be the name of a service/],
    ['it is no bundle', () => Buffer.from('PK\x03\x04'), '', /is no zip file/],
    [
      'its graph is cyclic',
      () =>
        bundle({
          graph: graph(
            [
              { id: 'a', op: 'select', params: { columns: ['x'] } },
              { id: 'b', op: 'select', params: { columns: ['x'] } },
            ],
            { node: 'b', columns: ['x'] },
            [
              { from: 'a', to: 'b' },
              { from: 'b', to: 'a' },
            ],
          ),
          questions: [{}],
          expected: [{ output: null }],
        }),
      '',
      /the graph is cyclic/,
    ],
  ])('refuses it when %s', async (_, make, query, message) => {
    const answer = await push(make(), query)
    expect(answer.statusCode).toBe(422)
    expect(answer.json().detail).toMatch(message)
    const { services } = (await it_.server.inject('/v1/services')).json()
    expect(services.map(({ id }: { id: string }) => id)).toEqual(['buy', 'insurance', 'more_views'])
  })

  it('refuses another kind of body', async () => {
    const answer = await it_.server.inject({ method: 'POST', url: '/v1/bundles', payload: { a: 1 } })
    expect(answer.statusCode).toBe(415)
  })

  it('leaves a record of each attempt in the audit log', async () => {
    const { entries } = (await it_.server.inject('/v1/audit?limit=50')).json()
    const pushes = entries.filter(({ action }: { action: string }) => action === 'model.push')
    expect(new Set(pushes.map(({ result }: { result: string }) => result))).toEqual(new Set(['done', 'refused']))
  })
})

describe('DELETE /v1/services', () => {
  it('takes a service away, once; a new deployment brings it back', async () => {
    const remove = () => it_.server.inject({ method: 'DELETE', url: '/v1/services/more_views' })
    expect((await remove()).statusCode).toBe(200)
    expect(
      (await it_.server.inject({ method: 'POST', url: '/v1/predict/more_views', payload: { features: {} } }))
        .statusCode,
    ).toBe(404)
    expect((await remove()).statusCode).toBe(404)
    expect((await push(ofFeatures())).json()).toMatchObject({ service: 'more_views', version: '1', serving: true })
  })
})
