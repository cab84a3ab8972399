import type { Kafka } from 'kafkajs'
import { scoresReader } from 'rtml/outputs'
import { enrich, type Profile } from './enrich.ts'

/** Beyond this the profile that changed longest ago is dropped: put a database here when you need all of them. */
const MAX_PROFILES = 1_000_000

export interface Subscription {
  readonly profiles: ReadonlyMap<string, Profile>
  stop(): Promise<void>
}

/** Follows the topic from its start. `onChange` gets the enriched profile, or undefined when it was erased. */
export async function subscribe(options: {
  readonly kafka: Kafka
  readonly registryUrl: string
  readonly topic: string
  readonly group: string
  readonly onChange: (id: string, profile: Profile | undefined) => void
}): Promise<Subscription> {
  const { kafka, registryUrl, topic, group, onChange } = options
  const decode = scoresReader((id) => schemaOf(registryUrl, id))
  const profiles = new Map<string, Profile>()
  // kafkajs reads committed records only unless told otherwise: what an aborted transaction wrote is never seen.
  const consumer = kafka.consumer({ groupId: group, readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    // The dictionary lives in memory, so a restart must read from the start again. With a database: commit.
    autoCommit: false,
    eachMessage: async ({ message }) => {
      const id = message.key?.toString() ?? ''
      const profile = message.value === null ? undefined : enrich(profiles.get(id), await decode(message.value))
      profiles.delete(id)
      if (profile !== undefined) profiles.set(id, profile)
      if (profiles.size > MAX_PROFILES) profiles.delete(profiles.keys().next().value!)
      onChange(id, profile)
    },
  })
  return { profiles, stop: () => consumer.disconnect() }
}

/** The registry's answer is JSON with the schema as a text. @throws Error when it has no such id or doesn't answer in 10 s */
async function schemaOf(registryUrl: string, id: number): Promise<object> {
  const response = await fetch(`${registryUrl.replace(/\/$/, '')}/schemas/ids/${id}`, {
    signal: AbortSignal.timeout(10_000),
  })
  if (!response.ok) throw new Error(`schema ${id}: the registry answered ${response.status}`)
  const { schema } = (await response.json()) as { schema: string }
  return JSON.parse(schema) as object
}
