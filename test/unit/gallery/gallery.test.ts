import { describe, expect, it } from 'vitest'
import { offset } from '../../../processors/app/units.ts'
import {
  block,
  championsOf,
  currentOf,
  decodeRecord,
  encodeRecord,
  Gallery,
  INLINE_BYTES,
  type InitialModel,
  type NewVersion,
  nextShare,
  promote,
  type Role,
  rollback,
  setDisabled,
  shareOf,
  unblock,
  versionRecords,
  withRanges,
} from '../../../processors/gallery/index.ts'

const AT = '2026-01-01T00:00:00.000Z'
const newVersion = (version: string, model = 'trees'): NewVersion => ({
  model,
  version,
  service: 'home',
  origin: 'push',
  manifest: { inputs: ['a', 'b'], deadline: '20ms' },
  at: AT,
  by: 'me',
})
const routing = (
  revision: number,
  roles: readonly Role[],
  id = `r${revision}`,
  action: 'promote' | 'rollback' = 'promote',
) => ({ kind: 'routing', service: 'home', revision, id, action, roles: [...roles], at: AT, by: 'me' }) as const
const role = (version: string, kind: Role['role'] = 'champion', share = 0): Role => ({
  model: 'trees',
  version,
  role: kind,
  share,
})

function galleryOf(
  records: readonly Parameters<typeof encodeRecord>[0][],
  initial: readonly InitialModel[] = [],
): Gallery {
  const gallery = new Gallery(initial)
  for (const [at, record] of records.entries()) {
    const { key, value } = encodeRecord(record)
    gallery.add(decodeRecord(key, value)!, offset(at))
  }
  return gallery
}

describe('records of models', () => {
  it('read back as they were written, defaults filled in', () => {
    const [only] = versionRecords(newVersion('5'), { bytes: Buffer.from('onnx') })
    const record = decodeRecord(only!.key, only!.value)
    expect(only!.key.toString()).toBe('version/trees/5')
    expect(record).toMatchObject({
      kind: 'version',
      manifest: { deadline: 20, deploy: 'both', maxBatchRows: 512 },
      onnx: { at: 'inline', base64: Buffer.from('onnx').toString('base64') },
      sizeBytes: 4,
    })
  })

  it('cut a large file into pieces that come before the version', () => {
    const bytes = Buffer.alloc(INLINE_BYTES * 2 + 1, 7)
    const records = versionRecords(newVersion('5'), { bytes }).map(({ key, value }) => decodeRecord(key, value)!)
    expect(records.map(({ kind }) => kind)).toEqual(['chunk', 'chunk', 'chunk', 'version'])
    const pieces = records.flatMap((it) => (it.kind === 'chunk' ? [it.bytes] : []))
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true)
    // A broker takes records of 1 MiB by default, key and headers included.
    for (const { value } of versionRecords(newVersion('5'), { bytes: bytes.subarray(0, INLINE_BYTES) })) {
      expect(value.length).toBeLessThan(1_000_000)
    }
  })

  it('are refused when they are not well-formed, naming the place', () => {
    expect(() => versionRecords({ ...newVersion('5'), model: 'no spaces' }, { bytes: Buffer.alloc(1) })).toThrow(
      /model: a name is/,
    )
    expect(() => decodeRecord(Buffer.from('version/trees/5'), Buffer.from('{'))).toThrow(
      /DECODE version\/trees\/5: not JSON/,
    )
    const { value } = encodeRecord(routing(1, [role('5')]))
    expect(() => decodeRecord(Buffer.from('routing/other/1/r1'), value)).toThrow('the record is of routing/home/1/r1')
    expect(decodeRecord(Buffer.from('x'), null)).toBeUndefined()
  })
})

describe('Gallery', () => {
  it('starts with the application file and goes on with records', () => {
    const version = { ...newVersion('1'), manifest: {}, sha256: '0'.repeat(64), sizeBytes: 1, onnx: { at: 'file' } }
    const initial = [{ version, role: role('1') }] as unknown as InitialModel[]
    expect(currentOf(galleryOf([], initial).service('home')!)).toMatchObject({ revision: 0, roles: [role('1')] })
    const gallery = galleryOf([routing(1, [role('2')])], initial)
    expect(currentOf(gallery.service('home')!)).toMatchObject({ revision: 1, roles: [role('2')] })
    expect(gallery.isOnlyInFile({ model: 'trees', version: '1' })).toBe(true)
  })

  it('takes the version of the log where the application file has other bytes under its name', () => {
    const version = { ...newVersion('5'), manifest: {}, sha256: '0'.repeat(64), sizeBytes: 1, onnx: { at: 'file' } }
    const gallery = new Gallery([{ version, role: role('5') }] as unknown as InitialModel[])
    const [record] = versionRecords(newVersion('5'), { bytes: Buffer.from('one') })
    gallery.add(decodeRecord(record!.key, record!.value)!, offset(3))
    expect(gallery.version('trees', '5')?.onnx).toEqual({ at: 'inline', offset: 3 })
    expect(gallery.overruled()).toEqual(['trees@5'])
  })

  it('counts the first record of a revision, and shows the others', () => {
    const gallery = galleryOf([
      routing(1, [role('5')], 'a'),
      routing(1, [role('6')], 'b'),
      routing(1, [role('5')], 'a'),
    ])
    const service = gallery.service('home')!
    expect(currentOf(service)).toMatchObject({ id: 'a', roles: [role('5')] })
    expect(service.overtaken.map(({ id }) => id)).toEqual(['b'])
  })

  it('keeps a version as it was first, whatever comes under its name', () => {
    const gallery = new Gallery()
    for (const [at, bytes] of ['one', 'two'].entries()) {
      const [it] = versionRecords(newVersion('5'), { bytes: Buffer.from(bytes) })
      gallery.add(decodeRecord(it!.key, it!.value)!, offset(at))
    }
    expect(gallery.version('trees', '5')?.onnx).toEqual({ at: 'inline', offset: 0 })
  })

  it('goes back over champions one by one, not to and fro', () => {
    const steps = [routing(1, [role('1')]), routing(2, [role('2')]), routing(3, [role('3')])]
    const back = (revision: number, version: string) => routing(revision, [role(version)], undefined, 'rollback')
    const versions = (gallery: Gallery) => championsOf(gallery.service('home')!).map(({ version }) => version)
    expect(versions(galleryOf(steps))).toEqual(['1', '2', '3'])
    expect(versions(galleryOf([...steps, back(4, '2')]))).toEqual(['1', '2'])
    expect(versions(galleryOf([...steps, back(4, '2'), back(5, '1')]))).toEqual(['1'])
  })
})

describe('steps', () => {
  const service = (...records: Parameters<typeof encodeRecord>[0][]) => galleryOf(records).service('home')!

  it('lets an arm keep its profiles while others come, grow and shrink', () => {
    const arm = (model: string, share: number): Role => ({ model, version: '1', role: 'arm', share })
    const ranges = (roles: readonly Role[], model: string) => roles.find((it) => it.model === model)!.ranges
    const first = withRanges([], [role('5'), arm('a', 0.1), arm('b', 0.1)], 'home')
    const second = withRanges(first, [role('5'), arm('a', 0.3), arm('b', 0.1)], 'home')
    expect(ranges(second, 'b')).toEqual(ranges(first, 'b'))
    expect(ranges(second, 'a')).toEqual([
      [0, 0.1],
      [0.2, expect.closeTo(0.4, 9)],
    ])
    const third = withRanges(second, [role('5'), arm('a', 0.05), arm('b', 0.5)], 'home')
    expect(ranges(third, 'a')).toEqual([[0, 0.05]])
    expect(ranges(third, 'b')![0]![0]).toBeLessThanOrEqual(0.1)
    // A new version of an arm takes over the profiles of the one that it replaces.
    const fourth = withRanges(third, [role('5'), { ...arm('a', 0.05), version: '2' }, arm('b', 0.5)], 'home')
    expect(ranges(fourth, 'a')).toEqual([[0, 0.05]])
    expect(() => withRanges([], [arm('a', 0.6), arm('b', 0.5)], 'home')).toThrow(/add up to 1.100/)
  })

  it('goes on from step to step, and says who has which share', () => {
    expect([0, 0.05, 0.2, 0.5, 1].map((share) => nextShare(share))).toEqual([0.05, 0.5, 0.5, 1, 1])
    const now = currentOf(service(routing(1, [role('5'), role('6', 'arm', 0.3), role('7', 'shadow')])))
    expect(['5', '6', '7', '8'].map((version) => shareOf(now, { model: 'trees', version }))).toEqual([0.7, 0.3, 0, 0])
  })

  it('blocks a version and disables a service until told otherwise', () => {
    const running = service(routing(1, [role('5'), role('6', 'shadow')]))
    const blocked = block(running, { model: 'trees', version: '6' })
    expect(blocked).toEqual({ roles: [role('5')], disabled: false, blocked: ['trees@6'] })
    const without = service({ ...routing(1, blocked.roles), blocked: blocked.blocked })
    expect(unblock(without, { model: 'trees', version: '6' }).blocked).toEqual([])
    expect(setDisabled(running, true)).toMatchObject({ disabled: true, roles: [role('5'), role('6', 'shadow')] })
  })

  it('promotes by shares to champion, and rolls back in one', () => {
    const start = service(routing(1, [role('5'), role('6', 'shadow')]))
    const half = promote(start, { model: 'trees', version: '6' }, 0.5)
    expect(half.roles).toEqual([role('5'), role('6', 'arm', 0.5)])
    const running = service(routing(1, [role('5')]), routing(2, half.roles))
    const whole = promote(running, { model: 'trees', version: '6' }, 1)
    expect(whole.roles).toEqual([role('6')])
    expect(rollback(running)).toMatchObject({ roles: [role('5')], blocked: ['trees@6'] })
    const served = service(routing(1, [role('5')]), routing(2, half.roles), routing(3, whole.roles))
    const back = rollback(served)
    expect(back).toMatchObject({ roles: [role('5')], blocked: ['trees@6'] })
    const after = service(routing(1, [role('5')]), { ...routing(2, back.roles), blocked: [...back.blocked] })
    expect(() => promote(after, { model: 'trees', version: '6' }, 0.5)).toThrow(/rtml models enable trees@6/)
    expect(() => rollback(service(routing(1, [role('5')])))).toThrow(/no former champion/)
  })
})
