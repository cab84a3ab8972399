import type { Scheduler } from './scheduler.ts'

/** What happened, as a hash always and as lines when somebody wants to read them: two equal hashes are one history. */
export class History {
  readonly lines: string[] = []
  readonly #scheduler: Scheduler
  readonly #isVerbose: boolean
  #hash = 0x811c9dc5

  constructor(scheduler: Scheduler, options: { isVerbose: boolean }) {
    this.#scheduler = scheduler
    this.#isVerbose = options.isVerbose
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** An effect at a service. */
  note(who: string, service: string, what: string, result: unknown): void {
    this.#mix(who, what)
    if (this.#isVerbose) this.#line(who, `${service}: ${what}${shown(result)}`)
  }

  /** A fault, or what a process says itself. */
  say(who: string, text: string): void {
    this.#mix(who, text)
    if (this.#isVerbose) this.#line(who, text)
  }

  #line(who: string, text: string): void {
    this.lines.push(`${this.#scheduler.now.toFixed(1).slice(-8).padStart(9)} ${who.padEnd(5)} ${text}`)
  }

  /** FNV-1a over the step, the length and a few characters: cheap, and any change of order changes the steps. */
  #mix(who: string, what: string): void {
    this.#add(this.#scheduler.steps)
    this.#add(who.charCodeAt(who.length - 1) ^ (what.length << 8))
    this.#add(what.charCodeAt(0) | (what.charCodeAt(what.length - 1) << 8))
  }

  #add(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193)
  }
}

function shown(result: unknown): string {
  if (result === undefined) return ''
  if (result instanceof Error) return ` → ${result.message}`
  const text = JSON.stringify(result, (_, value) => (isBuffer(value) ? `${value.data.length} B` : value)) ?? ''
  return ` → ${text.length > 160 ? `${text.slice(0, 160)}…` : text}`
}

const isBuffer = (value: unknown): value is { data: number[] } =>
  typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'Buffer'
