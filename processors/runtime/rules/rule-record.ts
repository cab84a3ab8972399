import type { DecisionDefinition, RuleDefinitions, SegmentDefinition } from '../../decisions/rules.ts'
import type { LogRecord, NewRecord } from '../../engine/ports.ts'

/** A segment or a decision that was changed while the application ran. Every change stands in the topic `rules`, for ever. */
export interface RuleChange {
  /** Unique: tells a writer its own record. */
  readonly id: string
  readonly kind: 'segment' | 'decision'
  readonly name: string
  /** null: back to the application file's, or none at all. */
  readonly definition: SegmentDefinition | DecisionDefinition | null
  /** Revision that the change was made to: it holds only if that is the newest one where the record stands. */
  readonly base: number
  readonly by: string
  readonly why: string
  readonly at: string
}

export function ruleRecord(topic: string, change: RuleChange): NewRecord {
  return { topic, key: Buffer.from(`${change.kind}:${change.name}`), value: Buffer.from(JSON.stringify(change)) }
}

/** @returns undefined for what is no change */
export function readRuleChange({ value }: Pick<LogRecord, 'value'>): RuleChange | undefined {
  if (!value) return undefined
  try {
    const it = JSON.parse(value.toString()) as RuleChange
    const isKnown = it.kind === 'segment' || it.kind === 'decision'
    return isKnown && typeof it.name === 'string' && typeof it.base === 'number' && typeof it.id === 'string'
      ? it
      : undefined
  } catch {
    return undefined
  }
}

/** What was changed, on top of the application file. */
export interface Overlay {
  readonly segments: Readonly<Record<string, SegmentDefinition>>
  readonly decisions: Readonly<Record<string, DecisionDefinition>>
}

export const NO_OVERLAY: Overlay = { segments: {}, decisions: {} }

/** A segment that is gone: nobody is in it, and whoever was leaves. */
const GONE: SegmentDefinition = { when: 'false' }
export const isGone = ({ when }: SegmentDefinition): boolean => when === GONE.when

export function changed(overlay: Overlay, file: RuleDefinitions, change: RuleChange): Overlay {
  const { kind, name, definition } = change
  if (kind === 'segment') {
    const segments = { ...overlay.segments }
    if (definition !== null) segments[name] = definition as SegmentDefinition
    else if (Object.hasOwn(file.segments, name)) delete segments[name]
    else segments[name] = GONE
    return { ...overlay, segments }
  }
  const decisions = { ...overlay.decisions }
  if (definition === null) delete decisions[name]
  else decisions[name] = definition as DecisionDefinition
  return { ...overlay, decisions }
}

export const onTop = (file: RuleDefinitions, overlay: Overlay): RuleDefinitions => ({
  segments: { ...file.segments, ...overlay.segments },
  decisions: { ...file.decisions, ...overlay.decisions },
})
