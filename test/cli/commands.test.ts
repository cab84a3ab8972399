/** Every command with good and bad words: exit code, where what is printed, and that errors name place and remedy. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openData, PATIENCE, scoresIn } from '../e2e/harness.ts'
import { eventually } from '../engine/contract/conditions.ts'
import { rtml, runService, type Service } from './rtml.ts'

const CONFORMANCE = join(import.meta.dirname, '../../models/conformance')
const jsonOf = (text: string) => JSON.parse(text)

let cwd: string
let service: Service
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'rtml-cli-'))
  expect(await rtml(['init'], { cwd })).toMatchObject({ code: 0 })
  service = await runService(cwd)
  await writeFile(join(cwd, 'broken.yaml'), 'rtml: 1\nname: x\nsources: { web: { mapping: ga5 } }\n')
  await writeFile(join(cwd, 'cut.gz'), gzipSync('{"id":1}').subarray(0, 12))
})
afterAll(async () => {
  await service[Symbol.asyncDispose]()
  await rm(cwd, { recursive: true, force: true })
})

describe('words that are wrong', () => {
  it.each<[string, number, RegExp]>([
    ['nonsense', 2, /unknown command 'nonsense'/],
    ['chek', 2, /Did you mean check\?/],
    ['init', 1, /rtml\.yaml is there already; nothing was changed/],
    ['init --foo', 2, /unknown option '--foo'\n\(rtml init --help shows its options\)/],
    ['check --app nope.yaml', 1, /CONFIG nope\.yaml: can't be read \(ENOENT\)\. .*rtml init/],
    ['check --app broken.yaml', 1, /broken\.yaml:3:28 sources\.web\.mapping: .*Did you mean "ga4"\?/],
    ['check extra', 2, /too many arguments/],
    ['run --port abc', 2, /"abc" is not a whole number/],
    ['run --port 99999', 2, /99999 is not a port/],
    ['run --log-level loud', 2, /Allowed choices are debug, info, warn, error/],
    ['run --data rtml.yaml --port 0', 1, /CONFIG rtml\.yaml: can't be opened as the data directory/],
    ['replay events.jsonl', 2, /required option '--source <name>'/],
    ['replay nope.jsonl --source web', 2, /"nope\.jsonl" is not a file\. For a topic write topic:<name>/],
    ['replay events.jsonl --source wob', 1, /there is no source "wob"\. Sources: web/],
    ['replay events.jsonl --source web --speed fast', 2, /write max, or a number above 0/],
    ['replay topic:nope --source web', 1, /no topic "nope"\. rtml topics lists them/],
    ['replay cut.gz --source web', 1, /DECODE cut\.gz: can't be read to its end/],
    ['topics --data elsewhere', 1, /there is no elsewhere here: .*rtml run makes it/],
    ['dlq', 2, /Commands:/],
    ['dlq show foo', 2, /"foo" is not a place\. Write topic\[partition\]@offset/],
    ['dlq show dlq.raw[0]@999', 1, /no dead letter at dlq\.raw\[0\]@999\. rtml dlq list shows them/],
    ['dlq replay', 2, /name places, or use --code CODE or --all/],
    ['dlq replay --all --set foo', 2, /write path=json/],
    ['dlq list --limit -1', 2, /"-1" is not a whole number/],
    ['profile CustomerID:nobody', 1, /no profile CustomerID:nobody in the store/],
    ['explain CustomerID:nobody', 1, /no score of CustomerID:nobody/],
    ['map --source nope', 2, /no ready mapping "nope"\. Ready: .*ga4/],
    ['map --source json --header foo', 2, /write name=value/],
    ['models promote nothing', 1, /MODEL_ROUTING nothing: there is no service or model of this name/],
    ['models promote buy --share 2', 2, /not above 0 and up to 1/],
    ['models promote buy --share 0.1 --all', 2, /--share or --all, not both/],
    ['models push nope.onnx --for buy', 2, /nope\.onnx can't be read \(ENOENT\)/],
    ['models push rtml.yaml --for buy', 1, /nothing says what it is fed with/],
    ['graph check cut.gz', 1, /BUNDLE bundle: is no zip file, or is cut/],
    ['graph run nowhere.zip', 1, /nowhere\.zip/],
    ['models verify nowhere', 2, /"nowhere" is not a folder/],
    ['models verify .', 1, /no model\.onnx with an io\.json beside it/],
    ['completion tcsh', 2, /Use bash, zsh or fish/],
    ['demo --rate -5', 2, /"-5" is not a whole number/],
  ])(
    'rtml %s → %i',
    async (words, code, says) => {
      const result = await rtml(words.split(' '), { cwd })
      expect(result.stderr).toMatch(says)
      expect(result.stderr).not.toMatch(/unexpected failure|\n {4}at /)
      expect(result).toMatchObject({ code, stdout: result.stdout.startsWith('0 models') ? result.stdout : '' })
    },
    PATIENCE.testMs,
  )
})

it(
  'goes from an empty folder to features, in the steps that init names',
  async () => {
    expect(jsonOf((await rtml(['check', '--json'], { cwd })).stdout)).toMatchObject({ app: 'shop' })
    expect(jsonOf((await rtml(['test', '--json'], { cwd })).stdout)).toMatchObject({ passed: 1, failed: 0 })
    const sent = await rtml(['replay', 'events.jsonl', '--source', 'web', '--json'], { cwd })
    expect(jsonOf(sent.stdout)).toEqual({ topic: 'raw.web', records: 3 })
    await scored(3)
    const shown = await rtml(['profile', 'CustomerID:c1', '--json'], { cwd })
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    const { features } = jsonOf(shown.stdout)
    expect(
      Object.fromEntries(features.map((it: { column: string; value: number }) => [it.column, it.value])),
    ).toMatchObject({
      events_1h: 2,
      purchases_30d: 1,
      spend_30d: 12.5,
    })
    const { topics } = jsonOf((await rtml(['topics', '--json'], { cwd })).stdout)
    expect(topics.find(({ topic }: { topic: string }) => topic === 'profile.scores')).toMatchObject({ kept: 3 })
    expect(jsonOf((await rtml(['explain', 'CustomerID:c1', '--json'], { cwd })).stdout)).toMatchObject({
      eventId: 'e2',
    })
    expect(jsonOf((await rtml(['version', '--json'], { cwd })).stdout)).toHaveProperty('rtml')
  },
  // Eight processes that start one after the other: on a crowded machine ten seconds each.
  PATIENCE.testMs * 2,
)

it(
  'starts JupyterLab in the folder of the notebooks, told of the running engine, with the options after --',
  async () => {
    // Stands where Python would: says that nothing is missing, then what it was started with.
    const python = join(cwd, 'python with spaces')
    const say = '{"python":"3.12","missing":[]}'
    const env = '"$RTML_URL" "$RTML_APP" "$RTML_DATA_DIR" "$RTML_CLI"'
    await writeFile(python, `#!/bin/sh\n[ "$1" = -c ] && echo '${say}' || printf '%s\\n' ${env} "$@"\n`, {
      mode: 0o755,
    })
    const words = ['notebook', '--python', python, '--url', service.address, '--port', '8999', '--no-browser']
    const { code, stdout, stderr } = await rtml([...words, '--', '--allow-root', '--IdentityProvider.token=x'], { cwd })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [url, app, data, command, ...given] = stdout.trim().split('\n')
    expect([url, app, data]).toEqual([service.address, join(cwd, 'rtml.yaml'), join(cwd, '.rtml')])
    expect(command).toMatch(/^"[^"]+" "[^"]+rtml\.js"$/)
    const root = `--ServerApp.root_dir=${join(cwd, 'notebooks')}`
    const fixed = ['-m', 'jupyterlab', '--ip=127.0.0.1', '--port=8999', root, '--no-browser']
    expect(given).toEqual([...fixed, '--allow-root', '--IdentityProvider.token=x'])
    expect(await readdir(join(cwd, 'notebooks'))).toContain('1-author-from-scratch.ipynb')
  },
  PATIENCE.testMs,
)

it(
  'repairs a dead letter and replays it: the event is scored, once',
  async () => {
    const bad = [
      { id: 'r1', time: 'tomorrow', type: 'commerce.purchases', customer: 'c9', total: '5.00' },
      { id: 'r2', time: '2026-01-01T11:00:00Z', type: 'commerce.purchases', total: '6.00' },
    ]
    await writeFile(join(cwd, 'bad.jsonl'), bad.map((event) => `${JSON.stringify(event)}\n`).join(''))
    await rtml(['replay', 'bad.jsonl', '--source', 'web'], { cwd })
    const list = async () => jsonOf((await rtml(['dlq', 'list', '--json'], { cwd })).stdout).letters
    const letters = await eventually('both are refused', PATIENCE, async () => {
      const found = await list()
      // They may have gone through different partitions, so either may be refused first.
      return found.length === 2 && found.sort((a: Letter, b: Letter) => b.code.localeCompare(a.code))
    })
    expect(letters).toMatchObject([
      { code: 'MAP_TYPE', path: 'timestamp', from: expect.stringMatching(/^raw\.web\[\d\]@\d+$/) },
      { code: 'IDENTITY', path: 'identityMap' },
    ])
    const shown = jsonOf((await rtml(['dlq', 'show', letters[0].place, '--json'], { cwd })).stdout)
    expect(jsonOf(shown.value)).toEqual(bad[0])

    const set = ['dlq', 'replay', letters[0].place, '--set', 'time="2026-01-01T10:59:00Z"']
    const dry = await rtml([...set, '--dry-run', '--json'], { cwd })
    expect(jsonOf(dry.stdout)).toMatchObject({ replayed: 0, wouldReplay: [{ topic: 'raw.web' }] })
    const before = (await scoredIds()).length
    expect(jsonOf((await rtml([...set, '--json'], { cwd })).stdout)).toEqual({ replayed: 1 })
    await writeFile(join(cwd, 'r2.json'), JSON.stringify({ ...bad[1], customer: 'c9' }))
    await rtml(['dlq', 'replay', letters[1].place, '--value', 'r2.json'], { cwd })
    await scored(before + 2)
    // Replayed again by mistake: the id has been seen.
    await rtml([...set], { cwd })
    await rtml(['replay', 'events.jsonl', '--source', 'web'], { cwd })
    expect((await scoredIds()).filter((id) => id.startsWith('r')).sort()).toEqual(['r1', 'r2'])
    const { features } = jsonOf((await rtml(['profile', 'CustomerID:c9', '--json'], { cwd })).stdout)
    expect(features.find((it: { column: string }) => it.column === 'spend_30d').value).toBe(11)
  },
  PATIENCE.testMs,
)

type Letter = { code: string }

describe('rtml map', () => {
  const xdm = (text: string) => text.trimEnd().split('\n').map(jsonOf)

  it(
    'maps lines and pretty-printed JSON, tells rejects on stderr, and ends with counts',
    async () => {
      const good = {
        id: 'a',
        time: '2026-01-01T10:00:00Z',
        type: 'web.webpagedetails.pageViews',
        customer: 'c1',
        page: 'home',
      }
      const input = `${JSON.stringify(good)}\nnot json\n${JSON.stringify({ ...good, id: 'b' }, null, 2)}\n{"id":"c"}\n`
      const { code, stdout, stderr } = await rtml(['map', '--source', 'web', '--app', 'rtml.yaml'], { cwd, input })
      expect(code).toBe(0)
      expect(xdm(stdout)).toMatchObject([{ _id: 'a' }, { _id: 'b', web: { webPageDetails: { name: 'home' } } }])
      const lines = stderr.trimEnd().split('\n').map(jsonOf)
      expect(lines[0]).toMatchObject({ place: 'stdin:2', code: 'DECODE' })
      expect(lines.at(-1)).toEqual({ read: 4, mapped: 2, rejected: 2, skipped: 0 })
    },
    PATIENCE.testMs,
  )

  it.each([
    ['csv', ','],
    ['tsv', '\t'],
  ])(
    'maps %s with its header line',
    async (format, comma) => {
      const yaml = (await readFile(join(cwd, 'rtml.yaml'), 'utf8')).replace(
        '  web:\n',
        `  web:\n    format: ${format}\n`,
      )
      await writeFile(join(cwd, `${format}.yaml`), yaml)
      const rows = [
        ['id', 'time', 'type', 'customer', 'page'],
        ['a', '2026-01-01T10:00:00Z', 'web.webpagedetails.pageViews', 'c1', `"home${comma} sweet"`],
        ['b', '2026-01-01T10:00:01Z', 'web.webpagedetails.pageViews', 'c1', 'cart'],
      ]
      const input = `${rows.map((row) => row.join(comma)).join('\n')}\n`
      const { stdout, stderr } = await rtml(['map', '--source', 'web', '--app', `${format}.yaml`], { cwd, input })
      expect(xdm(stdout)).toMatchObject([
        { _id: 'a', web: { webPageDetails: { name: `home${comma} sweet` } } },
        { _id: 'b', web: { webPageDetails: { name: 'cart' } } },
      ])
      expect(jsonOf(stderr.trimEnd().split('\n').at(-1)!)).toMatchObject({ mapped: 2, rejected: 0 })
    },
    PATIENCE.testMs,
  )
})

it(
  'verifies the models of a folder',
  async () => {
    const { code, stdout } = await rtml(['models', 'verify', CONFORMANCE, '--json'], { cwd })
    const { models, ok, failed } = jsonOf(stdout)
    expect({ code, failed, ok }).toEqual({ code: 0, failed: 0, ok: models })
    expect(models).toBeGreaterThan(30)
  },
  PATIENCE.testMs,
)

it.each(['bash', 'zsh', 'fish'])(
  'prints a completion script for %s that knows every command',
  async (shell) => {
    const { code, stdout } = await rtml(['completion', shell], { cwd })
    expect(code).toBe(0)
    for (const word of ['init', 'replay', 'dlq', '--source']) expect(stdout).toContain(word)
  },
  PATIENCE.testMs,
)

async function scoredIds(): Promise<string[]> {
  await using engine = await openData(join(cwd, '.rtml'))
  return (await scoresIn(engine)).map(({ eventId }) => eventId)
}

/** Waits beside the service with one open engine: a new one, or a process, at each look would take its time from it. */
async function scored(count: number): Promise<void> {
  await using engine = await openData(join(cwd, '.rtml'))
  await eventually(`${count} events are scored`, PATIENCE, async () => (await scoresIn(engine)).length >= count)
}
