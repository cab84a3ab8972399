/** Small parts that the pages share. */
import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useLayoutEffect, useRef } from 'preact/hooks'
import { ApiProblem } from './api.ts'
import { ago, NONE } from './format.ts'

const now = signal(Date.now())
setInterval(() => {
  now.value = Date.now()
}, 5_000)

/** How long ago; the exact time on hover and for machines. */
export function Time({ at }: { at: string | number | null | undefined }) {
  if (at == null) return <>{NONE}</>
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return <>{String(at)}</>
  const exact = `${date.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })} (${date.toISOString()})`
  return (
    <time dateTime={date.toISOString()} title={exact}>
      {ago(date.getTime(), Math.max(now.value, Date.now()))}
    </time>
  )
}

/** The first page leaves the focus to the browser, so that the first Tab reaches the way past the navigation. */
let isFirstPage = true

/** Head of a page: its name takes the focus when another page opens, before it can be seen: what is pressed then stays. */
export function Page(props: {
  title: string
  about?: ComponentChildren
  actions?: ComponentChildren
  children: ComponentChildren
}) {
  const heading = useRef<HTMLHeadingElement>(null)
  useLayoutEffect(() => {
    document.title = `${props.title} · rtml`
    if (!isFirstPage) heading.current?.focus({ preventScroll: true })
    isFirstPage = false
    scrollTo(0, 0)
  }, [props.title])
  return (
    <>
      <div class="page-head">
        <div>
          <h1 tabIndex={-1} ref={heading}>
            {props.title}
          </h1>
          {props.about && <p class="soft">{props.about}</p>}
        </div>
        {props.actions && <div class="actions">{props.actions}</div>}
      </div>
      {props.children}
    </>
  )
}

export function Section(props: { title: string; about?: ComponentChildren; children: ComponentChildren }) {
  const id = useId()
  return (
    <section class="section" aria-labelledby={id}>
      <h2 id={id}>{props.title}</h2>
      {props.about && <p class="soft">{props.about}</p>}
      {props.children}
    </section>
  )
}

/** What went wrong, in the server's words, and what may help. */
export function Failure({ error, retry }: { error: Error | undefined; retry?: () => void }) {
  if (!error) return null
  const problem = error instanceof ApiProblem ? error : undefined
  const text = problem ? error.message : 'The server does not answer. It may be stopped, or out of reach.'
  return (
    <div class="notice bad" role="alert">
      <p>
        <strong>{problem?.title ?? 'No answer'}</strong> {text}
      </p>
      {problem && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map((it) => (
            <li key={it}>{it}</li>
          ))}
        </ul>
      )}
      {(retry || problem?.requestId) && (
        <p class="row">
          {retry && (
            <button type="button" onClick={retry}>
              Try again
            </button>
          )}
          {problem?.requestId && <small class="soft">request {problem.requestId}</small>}
        </p>
      )}
    </div>
  )
}

/** Nothing here yet, and what to do about it. */
export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <p>
      <strong>{title}</strong>
    </p>
    {children && <div class="soft">{children}</div>}
  </div>
)

export const Waiting = ({ what }: { what: string }) => (
  <p class="soft waiting" role="status">
    Loading {what}…
  </p>
)

/** A word with a colour; the word alone says it too. */
export const Badge = ({ tone = 'plain', children }: { tone?: Tone; children: ComponentChildren }) => (
  <span class={`badge ${tone}`}>{children}</span>
)
export type Tone = 'plain' | 'good' | 'warn' | 'bad' | 'accent'

export function Notice({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`} role="status">
      {children}
    </div>
  )
}

/** Scrolls sideways inside itself when the screen is narrow; reachable by keyboard. */
export const Scroll = ({ label, children }: { label: string; children: ComponentChildren }) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
  <section class="scroll" aria-label={label} tabIndex={0}>
    {children}
  </section>
)

export interface ColumnOf<T> {
  readonly name: string
  readonly cell: (row: T) => ComponentChildren
  readonly isNumber?: boolean
  /** For long words: shortened with dots, whole on hover. */
  readonly isWide?: boolean
  /** Sentences: they wrap. */
  readonly isText?: boolean
}

export function Table<T>(props: {
  label: string
  rows: readonly T[]
  columns: readonly ColumnOf<T>[]
  keyOf: (row: T) => string
  rowClass?: (row: T) => string | undefined
}) {
  return (
    <Scroll label={`Table: ${props.label}`}>
      <table>
        <thead>
          <tr>
            {props.columns.map(({ name, isNumber }) => (
              <th key={name} scope="col" class={isNumber ? 'number' : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.keyOf(row)} class={props.rowClass?.(row)}>
              {props.columns.map(({ name, cell, isNumber, isWide, isText }) => (
                <td key={name} class={isNumber ? 'number' : isWide ? 'wide' : isText ? 'text' : undefined}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

export const Facts = ({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) => (
  <dl class="facts">
    {facts.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
)

/** A number with its name, large. */
export const Figure = (props: { name: string; value: ComponentChildren; note?: ComponentChildren }) => (
  <div class="figure">
    <span class="soft">{props.name}</span>
    <span class="figure-value">{props.value}</span>
    {props.note && <small class="soft">{props.note}</small>}
  </div>
)

interface FieldProps {
  readonly label: string
  readonly hint?: ComponentChildren
  readonly value: string
  readonly onValue: (text: string) => void
  readonly isSecret?: boolean
  /** Characters that it is wide for; absent: as wide as there is room. */
  readonly size?: number
  readonly maxLength?: number
  readonly placeholder?: string
  readonly isRequired?: boolean
  /** Takes the focus when it appears. */
  readonly isFirst?: boolean
  /** Where `/` goes. */
  readonly isSearch?: boolean
}

export function Field(props: FieldProps) {
  const id = useId()
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => {
    if (props.isFirst) field.current?.focus()
  }, [props.isFirst])
  return (
    <div class={props.size === undefined ? 'field wide' : 'field'}>
      <label for={id}>{props.label}</label>
      <input
        id={id}
        ref={field}
        {...(props.isSecret ? { type: 'password' as const } : { type: 'text' as const })}
        value={props.value}
        autocomplete="off"
        spellcheck={false}
        size={props.size}
        maxLength={props.maxLength ?? 1_000}
        placeholder={props.placeholder}
        required={props.isRequired}
        data-search={props.isSearch}
        aria-describedby={props.hint ? `${id}-hint` : undefined}
        onInput={(event) => props.onValue(event.currentTarget.value)}
      />
      {props.hint && (
        <small id={`${id}-hint`} class="soft">
          {props.hint}
        </small>
      )}
    </div>
  )
}

export function Area(props: {
  label: string
  value: string
  rows: number
  onValue: (text: string) => void
  hint?: ComponentChildren
  isInvalid?: boolean
}) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <textarea
        id={id}
        rows={props.rows}
        class="code"
        spellcheck={false}
        value={props.value}
        aria-invalid={props.isInvalid || undefined}
        aria-describedby={props.hint ? `${id}-hint` : undefined}
        onInput={(event) => props.onValue(event.currentTarget.value)}
      />
      {props.hint && (
        <small id={`${id}-hint`} class="soft">
          {props.hint}
        </small>
      )}
    </div>
  )
}

export function Select(props: {
  label: string
  value: string
  options: readonly (string | readonly [string, string])[]
  onValue: (text: string) => void
}) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select id={id} value={props.value} onChange={(event) => props.onValue(event.currentTarget.value)}>
        {props.options.map((option) => {
          const [value, text] = typeof option === 'string' ? [option, option] : option
          return (
            <option key={value} value={value}>
              {text}
            </option>
          )
        })}
      </select>
    </div>
  )
}

export const Code = ({ text, label }: { text: string; label: string }) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
  <section class="code-block" aria-label={label} tabIndex={0}>
    <pre class="code">{text}</pre>
  </section>
)

/** A bar from 0 to 1 with its figure beside it. */
export const Meter = ({ value, label }: { value: number; label: string }) => (
  <span class="meter" title={`${label}: ${value}`}>
    <span class="meter-track" aria-hidden="true">
      <span class="meter-bar" style={{ width: `${100 * Math.min(1, Math.max(0, value))}%` }} />
    </span>
    {value.toFixed(3)}
  </span>
)
