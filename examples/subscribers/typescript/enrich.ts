import type { ProfileScores } from 'rtml/outputs'

/** What is kept of a profile: its newest score by service (`<service>.<output>` for a model of several outputs). */
export interface Profile {
  readonly id: string
  readonly scores: Readonly<Record<string, LiveScore>>
}

export interface LiveScore {
  readonly score: number
  readonly model: string
  readonly version: string
  /** Other than 'none': the model was late or failed, and this stood in. */
  readonly fallback: string
  /** Epoch milliseconds. */
  readonly eventTime: number
  readonly eventId: string
}

/**
 * Merges the scores of one event into a profile. The newest event time wins, so late events and records that are read
 * twice do no harm; of two events with one time the one that stands later in the topic wins. Shadows are left out.
 */
export function enrich(profile: Profile | undefined, record: ProfileScores): Profile {
  const scores: Record<string, LiveScore> = { ...profile?.scores }
  for (const entry of record.scores) {
    if (entry.role === 'shadow') continue
    const name = entry.output === 'score' ? entry.service : `${entry.service}.${entry.output}`
    const known = scores[name]
    if (known !== undefined && known.eventTime > record.eventTime) continue
    const { score, model, version, fallback } = entry
    scores[name] = { score, model, version, fallback, eventTime: record.eventTime, eventId: record.eventId }
  }
  return { id: `${record.profile.namespace}:${record.profile.id}`, scores }
}
