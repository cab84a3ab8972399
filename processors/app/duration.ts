import { z } from 'zod'
import { type Ms, ms } from './units.ts'

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** Parses `90s`, `30m`, `1h`, `7d`. @returns undefined when the text isn't a duration of 1 ms to 100 years */
export function parseDuration(text: string): Ms | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(text)
  if (!match) return undefined
  const value = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS]
  return Number.isInteger(value) && value >= 1 && value <= 36_525 * UNIT_MS.d ? ms(value) : undefined
}

/** The shortest exact form: 5400000 → `90m`. */
export function formatDuration(value: Ms): string {
  for (const unit of ['w', 'd', 'h', 'm', 's'] as const) {
    if (value > 0 && value % UNIT_MS[unit] === 0) return `${value / UNIT_MS[unit]}${unit}`
  }
  return `${value}ms`
}

function notDuration(input: unknown): string {
  return `${JSON.stringify(input)} is not a duration. Use 1h, 30m or 7d.`
}

/** Schema of a duration in the application file. Input: text; output: milliseconds. */
export const duration = z
  .string({ error: (issue) => (issue.input === undefined ? undefined : notDuration(issue.input)) })
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d|w)$/, {
    error: (issue) => notDuration(issue.input),
  })
  .transform((text, context): Ms => {
    const value = parseDuration(text)
    if (value !== undefined) return value
    context.addIssue({
      code: 'custom',
      message: `${JSON.stringify(text)} is not a duration from 1ms to 100 years. Use 1h, 30m or 7d.`,
    })
    return z.NEVER
  })
