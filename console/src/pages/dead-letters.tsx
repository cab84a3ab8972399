import { useState } from 'preact/hooks'
import { post, query } from '../api.ts'
import { base64Of, pretty, textOf } from '../format.ts'
import { useLoad } from '../load.ts'
import { path, to } from '../route.ts'
import { can } from '../session.ts'
import type { Letter, Letters, Replayed, Sources, Tried } from '../types.ts'
import { Area, Badge, Empty, Facts, Failure, Field, Notice, Page, Section, Table, Time, Waiting } from '../ui.tsx'
import { headersOf, Outcome } from './sources.tsx'

type Row = Letters['letters'][number]

export function DeadLettersPage() {
  const [, place] = path.value
  return place === undefined ? <List /> : <Repair key={place} place={place} />
}

function List() {
  const [code, setCode] = useState('')
  const { value, error, reload, isLoading } = useLoad<Letters>(
    `v1/dead-letters${query({ limit: '100', code: code.trim() })}`,
  )
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set())
  const letters = value?.letters ?? []
  const toggle = (place: string) => {
    const next = new Set(chosen)
    if (!next.delete(place)) next.add(place)
    setChosen(next)
  }
  return (
    <Page
      title="Dead letters"
      about="Records that could not be used, with the reason. Repaired or not, they can go back to where they came from; ids keep them from counting twice."
      actions={
        <button type="button" onClick={reload} disabled={isLoading}>
          Reload
        </button>
      }
    >
      <div class="row end">
        <Field label="Reason" size={16} maxLength={32} placeholder="MAP_TYPE" value={code} onValue={setCode} isSearch />
      </div>
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="dead letters" />}
      {value && letters.length === 0 && (
        <Empty title={code ? `No dead letters with the reason ${code}.` : 'No dead letters.'}>
          Records that a mapping refuses, or that come too late, are listed here.
        </Empty>
      )}
      {letters.length > 0 && (
        <>
          <Table label="Dead letters" rows={letters} keyOf={({ place }) => place} columns={columns(chosen, toggle)} />
          {value?.complete === false && <p class="soft">Older ones may exist: rtml dlq list finds them.</p>}
          {can('dead-letters:write') && <ReplayChosen chosen={chosen} done={() => setChosen(new Set())} />}
        </>
      )}
    </Page>
  )
}

const columns = (chosen: ReadonlySet<string>, toggle: (place: string) => void) => [
  ...(can('dead-letters:write')
    ? [
        {
          name: 'Choose',
          cell: ({ place }: Row) => (
            <input
              type="checkbox"
              aria-label={`Choose ${place}`}
              checked={chosen.has(place)}
              onChange={() => toggle(place)}
            />
          ),
        },
      ]
    : []),
  {
    name: 'Place',
    cell: ({ place }: Row) => (
      <a href={to('dead-letters', place)}>
        <code>{place}</code>
      </a>
    ),
  },
  { name: 'Reason', cell: ({ code }: Row) => <Badge tone="bad">{code}</Badge> },
  { name: 'Path', isWide: true, cell: ({ path: it }: Row) => <code title={it}>{it}</code> },
  { name: 'Message', isWide: true, cell: ({ message }: Row) => <span title={message}>{message}</span> },
  { name: 'From', cell: ({ from }: Row) => <code>{from}</code> },
  { name: 'When', cell: ({ at }: Row) => <Time at={at} /> },
]

function ReplayChosen({ chosen, done }: { chosen: ReadonlySet<string>; done: () => void }) {
  const [reason, setReason] = useState('')
  const [error, setError] = useState<Error>()
  const [replayed, setReplayed] = useState<Replayed>()
  const replay = async () => {
    setError(undefined)
    setReplayed(undefined)
    const letters = [...chosen].map((place) => ({ place }))
    try {
      setReplayed(await post<Replayed>('v1/dead-letters/replay', { letters, ...(reason ? { reason } : {}) }))
      done()
    } catch (cause) {
      setError(cause as Error)
    }
  }
  return (
    <form
      class="row end"
      onSubmit={(event) => {
        event.preventDefault()
        void replay()
      }}
    >
      <Field label="Why (for the audit log)" maxLength={500} value={reason} onValue={setReason} />
      <button type="submit" disabled={chosen.size === 0}>
        {chosen.size === 0 ? 'Replay the chosen ones' : `Replay ${chosen.size} as they were`}
      </button>
      <Failure error={error} />
      {replayed && <Done replayed={replayed} />}
    </form>
  )
}

const Done = ({ replayed: { replayed, topics } }: { replayed: Replayed }) => (
  <Notice tone="good">
    {replayed} replayed to {topics.join(', ')}. <a href={to('audit')}>Audit log</a>
  </Notice>
)

function Repair({ place }: { place: string }) {
  const { value: letter, error, reload } = useLoad<Letter>(`v1/dead-letters/${encodeURIComponent(place)}`)
  return (
    <Page title="Dead letter" about={<code>{place}</code>} actions={<a href={to('dead-letters')}>All dead letters</a>}>
      <Failure error={error} retry={reload} />
      {!letter && !error && <Waiting what="dead letter" />}
      {letter && (
        <>
          <Notice tone="bad">
            <strong>{letter.code}</strong> <code>{letter.path}</code> {letter.message}
          </Notice>
          <Facts
            facts={[
              ['From', <code key="from">{letter.from}</code>],
              ['When', <Time key="at" at={letter.at} />],
              ['Key', <code key="key">{letter.key ?? 'none'}</code>],
              ...Object.entries(letter.headers).map(([name, text]) => [name, <code key={name}>{text}</code>] as const),
            ]}
          />
          <Editor letter={letter} />
        </>
      )}
    </Page>
  )
}

function Editor({ letter }: { letter: Letter }) {
  const original = letter.value === null ? undefined : textOf(letter.value)
  const [text, setText] = useState(pretty(original ?? ''))
  const [reason, setReason] = useState('')
  const [tried, setTried] = useState<Tried>()
  const [error, setError] = useState<Error>()
  const [replayed, setReplayed] = useState<Replayed>()
  const sources = useLoad<Sources>(can('topology:read') ? 'v1/sources' : undefined)
  const topic = letter.from.slice(0, letter.from.indexOf('['))
  const source = sources.value?.sources.find((it) => it.topic === topic)?.name
  const isChanged = original !== undefined && text !== pretty(original)
  const attempt = async (work: () => Promise<void>) => {
    setError(undefined)
    await work().catch(setError)
  }
  const tryIt = () =>
    attempt(async () => {
      const body = { value: text, headers: headersOf(headerLines(letter)) }
      setTried(await post<Tried>(`v1/sources/${encodeURIComponent(source ?? '')}/try`, body))
    })
  const replay = () =>
    attempt(async () => {
      const repaired = isChanged ? { value: base64Of(compactJson(text)) } : {}
      const body = { letters: [{ place: letter.place, ...repaired }], ...(reason ? { reason } : {}) }
      setReplayed(await post<Replayed>('v1/dead-letters/replay', body))
    })
  return (
    <Section title="Repair">
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void replay()
        }}
      >
        <div class="columns">
          <div>
            {original === undefined ? (
              <Notice tone="warn">
                The value is binary. It can be replayed as it was, or repaired with rtml dlq replay.
              </Notice>
            ) : (
              <Area label="Value" rows={18} value={text} onValue={setText} isInvalid={isChanged && !isJson(text)} />
            )}
            <Field label="Why (for the audit log)" maxLength={500} value={reason} onValue={setReason} />
            <p class="row">
              {source !== undefined && original !== undefined && can('sources:try') && (
                <button type="button" onClick={() => void tryIt()}>
                  Try the mapping
                </button>
              )}
              {can('dead-letters:write') && (
                <button type="submit" class="primary" disabled={replayed !== undefined}>
                  {isChanged ? 'Replay repaired' : 'Replay as it was'}
                </button>
              )}
            </p>
          </div>
          <div aria-live="polite">
            <Failure error={error} />
            {replayed && <Done replayed={replayed} />}
            {tried ? (
              <Outcome result={tried} />
            ) : (
              !replayed && (
                <Empty title="Not tried yet.">Change the value and try the mapping before you replay it.</Empty>
              )
            )}
          </div>
        </div>
      </form>
    </Section>
  )
}

const headerLines = ({ headers }: Letter): string =>
  Object.entries(headers)
    .map(([name, text]) => `${name}: ${text}`)
    .join('\n')

const isJson = (text: string): boolean => compactJson(text) !== text || pretty(text) !== text

/** As a producer would send it. */
function compactJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text))
  } catch {
    return text
  }
}
