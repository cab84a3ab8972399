import { createHash } from 'node:crypto'
import avro from 'avsc'
import { RtmlError } from '../../app/errors.ts'
import type { Registry } from '../ports.ts'
import type { Environment, Tables } from './environment.ts'
import { nameKey } from './keys.ts'
import { nextNumber } from './log-write.ts'

const SUBJECT_BYTES = 1_000

/**
 * Avro schemas in LMDB with BACKWARD compatibility: a new schema of a subject must read what the last one wrote.
 * Keys: `id` NUL number → schema text; `text` NUL SHA-256 → id; `subject` NUL name → ids in their order (JSON).
 */
export class EmbeddedRegistry implements Registry {
  readonly #environment: Environment
  readonly #schemas = new Map<number, object>()

  constructor(environment: Environment) {
    this.#environment = environment
  }

  async register(subject: string, schema: object): Promise<number> {
    if (subject.length === 0 || Buffer.byteLength(subject) > SUBJECT_BYTES || subject.includes('\0')) {
      throw new RtmlError('CONFIG', `a subject has 1 to ${SUBJECT_BYTES} bytes and no NUL.`, { place: subject })
    }
    const type = parse(subject, schema)
    const text = JSON.stringify(schema)
    this.#environment.refresh()
    const known = findId(this.#environment.tables, subject, text)
    if (known !== undefined) return known
    const answer = await this.#environment.write('REGISTRY_DOWN', ({ tables }): number | RtmlError => {
      const registered = findId(tables, subject, text)
      if (registered !== undefined) return registered
      const ids = idsOf(tables, subject)
      const last = ids.at(-1)
      const problem = last === undefined ? undefined : incompatibility(type, parse(subject, readSchema(tables, last)!))
      if (problem) return incompatible(subject, last!, problem)
      const id = idOfText(tables, text) ?? newId(tables, text)
      tables.schemas.putSync(nameKey('subject', subject), Buffer.from(JSON.stringify([...ids, id])))
      return id
    })
    if (answer instanceof RtmlError) throw answer
    return answer
  }

  async schema(id: number): Promise<object> {
    const cached = this.#schemas.get(id)
    if (cached) return cached
    this.#environment.refresh()
    const schema = readSchema(this.#environment.tables, id)
    if (!schema) {
      throw new RtmlError(
        'SCHEMA_ID',
        `the registry has no schema ${id}. Was the record written with another registry?`,
      )
    }
    this.#schemas.set(id, schema)
    return schema
  }
}

function parse(subject: string, schema: object): avro.Type {
  try {
    return avro.Type.forSchema(schema as avro.Schema)
  } catch (error) {
    throw new RtmlError('CONFIG', `not an Avro schema: ${(error as Error).message}`, { place: subject, cause: error })
  }
}

/** Why `reader` can't read what `writer` wrote. */
function incompatibility(reader: avro.Type, writer: avro.Type): string | undefined {
  try {
    reader.createResolver(writer)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

const incompatible = (subject: string, last: number, problem: string): RtmlError =>
  new RtmlError(
    'CONFIG',
    `the schema can't read what schema ${last} wrote: ${problem}. Give new fields a default, keep the types of old ones, or use another subject.`,
    { place: subject },
  )

const textKey = (text: string): Buffer => nameKey('text', createHash('sha256').update(text).digest('hex'))

function idOfText(tables: Tables, text: string): number | undefined {
  const value = tables.schemas.getBinary(textKey(text))
  return value && Number(value.toString())
}

function newId(tables: Tables, text: string): number {
  const id = nextNumber(tables, 'schema')
  tables.schemas.putSync(nameKey('id', id), Buffer.from(text))
  tables.schemas.putSync(textKey(text), Buffer.from(String(id)))
  return id
}

function idsOf(tables: Tables, subject: string): number[] {
  const value = tables.schemas.getBinary(nameKey('subject', subject))
  return value ? (JSON.parse(value.toString()) as number[]) : []
}

function findId(tables: Tables, subject: string, text: string): number | undefined {
  const id = idOfText(tables, text)
  return id !== undefined && idsOf(tables, subject).includes(id) ? id : undefined
}

function readSchema(tables: Tables, id: number): object | undefined {
  const value = tables.schemas.getBinary(nameKey('id', id))
  return value && (JSON.parse(value.toString()) as object)
}
