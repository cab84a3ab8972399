/** A label of the application file, compiled: what an event is to it. */
import type { XdmEvent } from '../../app/event.ts'
import type { LabelDefinition } from '../../app/schema-learning.ts'
import type { Expression } from '../../expressions/types.ts'
import { labelValue } from '../columns.ts'
import type { JoinRules } from './joiner.ts'

/** What one event is to a label. One object is written again and again. */
export interface LabelMark {
  /** The event is to be labelled. */
  isSample: boolean
  /** Of an outcome: the label that it gives to samples; without outcomes: the sample's own label. NaN: none. */
  value: number
  /** Outcome and sample belong together only when this is equal; '' when the label wants no match. */
  match: string
}

export const newMark = (): LabelMark => ({ isSample: false, value: Number.NaN, match: '' })

export interface CompiledLabel {
  readonly name: string
  readonly definition: LabelDefinition
  /** How outcomes are joined; undefined: every sample carries its own label. */
  readonly rules: JoinRules | undefined
  readonly hasMatch: boolean
  read(event: Pick<XdmEvent, 'xdm'>, into: LabelMark): void
}

/** @throws ExpressionError */
export function compileLabel(
  name: string,
  definition: LabelDefinition,
  compile: (source: string) => Expression,
): CompiledLabel {
  const compiled = (source: string | undefined) => (source === undefined ? undefined : compile(source))
  const where = compiled(definition.where)
  const value = compiled(definition.value)
  const outcome = compiled(definition.outcome)
  const match = compiled(definition.match)
  return {
    name,
    definition,
    rules: outcome && joinRules(definition),
    hasMatch: match !== undefined,
    read(event, into) {
      const { xdm } = event
      into.isSample = where === undefined || where.test(xdm)
      into.value = Number.NaN
      into.match = ''
      if (!outcome) {
        if (into.isSample) into.value = labelValue(definition, evaluated(value, xdm))
        return
      }
      const isOutcome = outcome.test(xdm)
      if (isOutcome) into.value = value ? labelValue(definition, evaluated(value, xdm)) : 1
      if (match && (isOutcome || into.isSample)) into.match = JSON.stringify(evaluated(match, xdm) ?? null)
    },
  }
}

/** All labels of an application, in the order of its file. @throws ExpressionError */
export const compileLabels = (
  labels: Readonly<Record<string, LabelDefinition>>,
  compile: (source: string) => Expression,
): CompiledLabel[] => Object.entries(labels).map(([name, definition]) => compileLabel(name, definition, compile))

const joinRules = (label: LabelDefinition): JoinRules => ({
  windowMs: label.window!,
  latenessMs: label.lateness,
  policy: label.policy,
  combine: label.combine,
  negatives: label.negatives,
  none: label.type === 'classes' ? Number.NaN : 0,
})

/** An expression that fails gives no label: one odd event must not stop the stream. */
function evaluated(expression: Expression | undefined, xdm: object): unknown {
  try {
    return expression?.evaluate(xdm)
  } catch {
    return null
  }
}
