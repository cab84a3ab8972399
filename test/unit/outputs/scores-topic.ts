/** What stands in a topic of scores, and the profiles that a subscriber must end with. */
import type { Profile } from '../../../examples/subscribers/typescript/enrich.ts'
import { epochMs } from '../../../processors/app/units.ts'
import type { ProfileScores, ScoreEntry } from '../../../processors/outputs/scores.ts'

export function entry(service: string, score: number, extra: Partial<ScoreEntry> = {}): ScoreEntry {
  return {
    model: service,
    version: '1',
    service,
    role: 'champion',
    output: 'score',
    score,
    fallback: 'none',
    explanation: null,
    attributes: {},
    ...extra,
  }
}

export function scored(id: string, eventId: string, seconds: number, scores: readonly ScoreEntry[]): ProfileScores {
  const eventTime = epochMs(1_700_000_000_000 + seconds * 1_000)
  const profile = { namespace: 'ECID', id }
  return {
    eventId,
    profile,
    eventTime,
    processedAt: eventTime,
    featureSetVersion: '0123456789ab',
    source: 'web',
    scores,
  }
}

/** What stands in the topic: in order, a late event, a duplicate, an erased profile, a shadow, an arm, two outputs. */
export const TOPIC: readonly (readonly [string, ProfileScores | null])[] = [
  ['ECID:a', scored('a', 'a1', 10, [entry('buy', 0.1), entry('churn', 0.7)])],
  ['ECID:b', scored('b', 'b1', 11, [entry('buy', 0.2)])],
  ['ECID:a', scored('a', 'a0', 5, [entry('buy', 0.9), entry('basket', 3, { output: 'size' })])],
  [
    'ECID:a',
    scored('a', 'a2', 20, [
      entry('buy', 0.3, { role: 'arm', model: 'buy-b', version: '7' }),
      entry('churn', 0.99, { role: 'shadow' }),
    ]),
  ],
  ['ECID:a', scored('a', 'a2', 20, [entry('buy', 0.3, { role: 'arm', model: 'buy-b', version: '7' })])],
  ['ECID:b', null],
  [
    'ECID:c',
    scored('c', 'c1', 30, [entry('buy', 0.5, { fallback: 'prior', explanation: [{ feature: 'x', contribution: 1 }] })]),
  ],
  ['ECID:b', scored('b', 'b2', 2, [entry('churn', 0.4)])],
]

export const WANTED: Record<string, Profile> = {
  'ECID:a': {
    id: 'ECID:a',
    scores: {
      buy: { score: 0.3, model: 'buy-b', version: '7', fallback: 'none', eventTime: 1_700_000_020_000, eventId: 'a2' },
      churn: {
        score: 0.7,
        model: 'churn',
        version: '1',
        fallback: 'none',
        eventTime: 1_700_000_010_000,
        eventId: 'a1',
      },
      'basket.size': {
        score: 3,
        model: 'basket',
        version: '1',
        fallback: 'none',
        eventTime: 1_700_000_005_000,
        eventId: 'a0',
      },
    },
  },
  'ECID:b': {
    id: 'ECID:b',
    scores: {
      churn: {
        score: 0.4,
        model: 'churn',
        version: '1',
        fallback: 'none',
        eventTime: 1_700_000_002_000,
        eventId: 'b2',
      },
    },
  },
  'ECID:c': {
    id: 'ECID:c',
    scores: {
      buy: { score: 0.5, model: 'buy', version: '1', fallback: 'prior', eventTime: 1_700_000_030_000, eventId: 'c1' },
    },
  },
}
