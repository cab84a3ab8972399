import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Registry } from '../../../processors/engine/ports.ts'
import { PATIENCE, type Patience } from './conditions.ts'

export interface RegistryFixture {
  readonly registry: Registry
  /** Begins the name of every subject; nothing that begins so exists yet. */
  readonly prefix: string
  close(): Promise<void>
}

const order = (...more: object[]): object => ({
  type: 'record',
  name: 'Order',
  namespace: 'rtml.test',
  fields: [{ name: 'id', type: 'string' }, { name: 'total', type: 'double' }, ...more],
})

/** The contract of `Registry`, whose subjects are BACKWARD compatible: a new schema reads what the last one wrote. */
export function describeRegistry(
  name: string,
  open: () => Promise<RegistryFixture>,
  patience: Patience = PATIENCE,
): void {
  describe(`${name}: registry`, { timeout: patience.testMs }, () => {
    let fixture: RegistryFixture
    let registry: Registry
    let made = 0
    beforeAll(async () => {
      fixture = await open()
      registry = fixture.registry
    }, patience.testMs * 2)
    afterAll(() => fixture?.close(), patience.testMs * 2)
    const subject = () => `${fixture.prefix}subject-${made++}-value`

    it('gives a schema an id, and the same id when it is registered again', async () => {
      const name = subject()
      const id = await registry.register(name, order())
      expect(Number.isInteger(id)).toBe(true)
      expect(id).toBeGreaterThan(0)
      expect(await registry.register(name, order())).toBe(id)
      expect(await registry.schema(id)).toEqual(order())
    })

    it('accepts a field with a default and keeps both schemas', async () => {
      const name = subject()
      const older = await registry.register(name, order())
      const next = order({ name: 'currency', type: 'string', default: 'EUR' })
      const newer = await registry.register(name, next)
      expect(newer).not.toBe(older)
      expect(await registry.schema(older)).toEqual(order())
      expect(await registry.schema(newer)).toEqual(next)
      expect(await registry.register(name, order())).toBe(older)
    })

    it('refuses a schema that cannot read what was written, and keeps the subject as it was', async () => {
      const name = subject()
      const id = await registry.register(name, order())
      const withoutDefault = order({ name: 'currency', type: 'string' })
      await expect(registry.register(name, withoutDefault)).rejects.toMatchObject({ name: 'RtmlError', code: 'CONFIG' })
      const otherType = { ...order(), fields: [{ name: 'id', type: 'int' }] }
      await expect(registry.register(name, otherType)).rejects.toMatchObject({ name: 'RtmlError', code: 'CONFIG' })
      expect(await registry.register(name, order())).toBe(id)
    })

    it('keeps subjects apart', async () => {
      const [left, right] = [subject(), subject()]
      const a = await registry.register(left, order())
      const b = await registry.register(right, { ...order(), fields: [{ name: 'id', type: 'long' }] })
      expect(a).not.toBe(b)
      expect(await registry.schema(a)).toEqual(order())
      expect(await registry.schema(b)).toMatchObject({ fields: [{ name: 'id', type: 'long' }] })
    })

    it('registers at the same time without losing one', async () => {
      const names = [subject(), subject(), subject(), subject()]
      const ids = await Promise.all(
        names.map((name, i) => registry.register(name, order({ name: `f${i}`, type: 'int', default: i }))),
      )
      expect(new Set(ids).size).toBe(names.length)
      for (const [i, id] of ids.entries()) {
        expect(await registry.schema(id)).toEqual(order({ name: `f${i}`, type: 'int', default: i }))
      }
    })

    it('says so when it has no such id, each time', async () => {
      for (let i = 0; i < 2; i++) {
        await expect(registry.schema(2_147_483_000)).rejects.toMatchObject({ name: 'RtmlError', code: 'SCHEMA_ID' })
      }
    })
  })
}
