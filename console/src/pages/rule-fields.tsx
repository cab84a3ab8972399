/** A definition as it is edited: a segment by its condition, everything as JSON; what is wrong with it at its place. */
import { useId, useRef } from 'preact/hooks'
import { placeInJson, stepsOf } from '../json-place.ts'
import type { RuleCheck } from '../types.ts'
import { Field } from '../ui.tsx'

export type Definition = Readonly<Record<string, unknown>>
type Problem = RuleCheck['problems'][number]

/** A problem below a definition: `segments.x.when` is `when` of x; the message without the place that it repeats. */
const inside = ({ place, message }: Problem, rule: string) => ({
  path: place === rule ? '' : place.startsWith(`${rule}.`) ? place.slice(rule.length + 1) : undefined,
  message: message.replace(/^CONFIG /, '').startsWith(`${place}: `)
    ? message.slice(message.indexOf(': ') + 2)
    : message,
})

const EXAMPLES: readonly (readonly [string, string])[] = [
  ['exists(commerce.productListAdds.value > 0, "24h")', 'put something into the cart in the last 24 hours'],
  [
    'exists(commerce.productListAdds.value > 0, "24h") && !exists(commerce.purchases.value > 0, "24h")',
    'did, and bought nothing; leaves without any event',
  ],
  ['count(commerce.productViews.value > 0, "7d") >= 5', 'looked at five products in a week'],
  ['coalesce(scores.propensity, 0.0) >= 0.3', 'newest score of a service; no score counts as 0'],
  ['features.product_views_1h > 3', 'a feature of the profile'],
  ['inSegment("likely_buyers")', 'is in another segment'],
]

interface EditProps {
  readonly definition: Definition
  readonly onDefinition: (next: Definition) => void
  /** `segments.<name>` */
  readonly rule: string
  readonly problems: readonly Problem[]
}

/** The common case: a condition, and what the segment is for. */
export function SegmentFields({ definition, onDefinition, rule, problems }: EditProps) {
  const id = useId()
  const area = useRef<HTMLTextAreaElement>(null)
  const { when, description } = definition
  const own = problems.map((it) => inside(it, rule))
  const ofWhen = own.filter(({ path }) => path === 'when')
  const others = own.filter(({ path }) => path !== 'when')
  const take = (text: string) => {
    onDefinition({ ...definition, when: text })
    area.current?.focus()
  }
  return (
    <>
      <Field
        label="What it is for"
        maxLength={500}
        value={typeof description === 'string' ? description : ''}
        onValue={(text) => {
          const { description: _, ...rest } = definition
          onDefinition(text === '' ? rest : { description: text, ...rest })
        }}
      />
      <div class="field">
        <label for={id}>Who is in: a condition</label>
        <textarea
          id={id}
          ref={area}
          rows={5}
          class="code"
          spellcheck={false}
          maxLength={4_096}
          value={typeof when === 'string' ? when : ''}
          aria-invalid={ofWhen.length > 0 || undefined}
          aria-describedby={`${id}-problems ${id}-hint`}
          onInput={(event) => onDefinition({ ...definition, when: event.currentTarget.value })}
        />
        <div id={`${id}-problems`}>
          <Problems of={ofWhen.map(({ message }) => ({ path: '', message }))} />
        </div>
        <small id={`${id}-hint`} class="soft">
          Read of the profile: <code>exists</code>, <code>count</code>, <code>sum</code>, <code>average</code>,{' '}
          <code>distinct</code> over its events in a window, <code>features.…</code>, <code>scores.…</code>,{' '}
          <code>segments.…</code>, and the newest values of XDM paths; joined by <code>&amp;&amp;</code>,{' '}
          <code>||</code>, <code>!</code>.
        </small>
      </div>
      <Problems of={others} />
      <details class="help">
        <summary>Examples</summary>
        <ul class="examples">
          {EXAMPLES.map(([text, meaning]) => (
            <li key={text}>
              <button type="button" class="quiet" title="Take it as the condition" onClick={() => take(text)}>
                <code>{text}</code>
              </button>
              <small class="soft">{meaning}</small>
            </li>
          ))}
        </ul>
      </details>
    </>
  )
}

interface JsonProps {
  readonly text: string
  readonly onText: (text: string) => void
  readonly isInvalid: boolean
  readonly rule: string
  readonly problems: readonly Problem[]
}

export function JsonField({ text, onText, isInvalid, rule, problems }: JsonProps) {
  const id = useId()
  const area = useRef<HTMLTextAreaElement>(null)
  const own = problems.map((it) => {
    const { path, message } = inside(it, rule)
    const at = path === undefined ? undefined : placeInJson(text, stepsOf(path))
    return { path: path ?? it.place, message, at }
  })
  const show = (at: number) => {
    const end = text.indexOf('\n', at)
    area.current?.focus()
    area.current?.setSelectionRange(at, end < 0 ? text.length : end)
  }
  return (
    <div class="field">
      <label for={id}>Definition, as in the application file (JSON)</label>
      <textarea
        id={id}
        ref={area}
        rows={16}
        class="code"
        spellcheck={false}
        value={text}
        aria-invalid={isInvalid || own.length > 0 || undefined}
        aria-describedby={`${id}-problems`}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      <div id={`${id}-problems`}>
        {isInvalid && <Problems of={[{ path: '', message: 'This is not a JSON object.' }]} />}
        <Problems of={own} show={show} lineOf={(at) => text.slice(0, at).split('\n').length} />
      </div>
    </div>
  )
}

interface Shown {
  readonly path: string | undefined
  readonly message: string
  readonly at?: number | undefined
}

function Problems(props: { of: readonly Shown[]; show?: (at: number) => void; lineOf?: (at: number) => number }) {
  if (props.of.length === 0) return null
  return (
    <div role="alert">
      {props.of.map(({ path, message, at }) => (
        <p class="bad" key={`${path} ${message}`}>
          {at !== undefined && (
            <button type="button" class="quiet at" onClick={() => props.show?.(at)}>
              line {props.lineOf?.(at)}
            </button>
          )}{' '}
          {path && <code>{path}</code>} {message}
        </p>
      ))}
    </div>
  )
}
