/** What stands in the topic `control` about erasures: requests with what they hide, and the profile stage's answers. */
import { z } from 'zod'
import type { TopicNames } from '../app/topics.ts'
import { offset } from '../app/units.ts'
import type { Engine, LogRecord, NewRecord } from '../engine/ports.ts'
import { type Erased, parseErased } from '../outputs/index.ts'

const erasureRequest = z.object({
  id: z.string().max(128),
  at: z.string(),
  by: z.string().max(512),
  why: z.string().max(512).optional(),
  /** `subjectOf` each identity. */
  subjects: z.array(z.string()),
  /** Dead letters of the person, `topic[partition]@offset`: nobody is shown them any more, and none is replayed. */
  letters: z.array(z.string()),
})
/** Never with an identity in clear: the record outlives the erasure. */
export type ErasureRequest = z.output<typeof erasureRequest>

const REQUEST_PREFIX = 'erase:'
const RETRAIN_PREFIX = 'retrain:'

type LogOnly = Pick<Engine, 'log'>
type ControlTopic = Pick<TopicNames, 'control'>

export const requestRecord = ({ control }: ControlTopic, request: ErasureRequest): NewRecord => ({
  topic: control,
  key: Buffer.from(`${REQUEST_PREFIX}${request.id}`),
  value: Buffer.from(JSON.stringify(request)),
})

/** Says that a learner has learned from somebody who was erased since. Training it anew takes the flag away. */
export const retrainRecord = (
  { control }: ControlTopic,
  learner: string,
  { id, at }: Pick<ErasureRequest, 'id' | 'at'>,
): NewRecord => ({
  topic: control,
  key: Buffer.from(`${RETRAIN_PREFIX}${learner}`),
  value: Buffer.from(JSON.stringify({ learner, since: at, request: id })),
})

export interface ControlState {
  readonly requests: readonly ErasureRequest[]
  readonly answers: readonly Erased[]
  /** Learners that should be trained anew, with the time of the first erasure that they don't know of. */
  readonly retrain: ReadonlyMap<string, string>
}

/** Reads the whole topic: one small record an erasure and profile. */
export async function readControl({ log }: LogOnly, { control }: ControlTopic): Promise<ControlState> {
  const requests = new Map<string, ErasureRequest>()
  const answers: Erased[] = []
  const retrain = new Map<string, string>()
  for (const bounds of await log.bounds(control)) {
    if (bounds.start >= bounds.end) continue
    for await (const run of log.read(bounds, offset(bounds.start), { until: bounds.end })) {
      for (const record of run.records) {
        const key = record.key?.toString() ?? ''
        const answer = parseErased(record)
        if (answer) answers.push(answer)
        else if (key.startsWith(REQUEST_PREFIX)) {
          const request = parseRequest(record)
          if (request) requests.set(request.id, request)
        } else if (key.startsWith(RETRAIN_PREFIX)) {
          const learner = key.slice(RETRAIN_PREFIX.length)
          const since = (json(record) as { since?: unknown } | undefined)?.since
          if (typeof since === 'string') retrain.set(learner, since)
          else retrain.delete(learner)
        }
      }
    }
  }
  return { requests: [...requests.values()], answers, retrain }
}

/** Dead letters that belong to erased people, for all who read them. */
export async function hiddenLetters(engine: LogOnly, topics: ControlTopic): Promise<ReadonlySet<string>> {
  const { requests } = await readControl(engine, topics)
  return new Set(requests.flatMap(({ letters }) => letters))
}

const parseRequest = (record: LogRecord): ErasureRequest | undefined => erasureRequest.safeParse(json(record)).data

function json({ value }: LogRecord): unknown {
  try {
    return JSON.parse(value?.toString() ?? '')
  } catch {
    return undefined
  }
}
