import { useState } from 'preact/hooks'
import { get, post } from '../api.ts'
import { pretty, textOf } from '../format.ts'
import { useLoad } from '../load.ts'
import { parameters } from '../route.ts'
import { can } from '../session.ts'
import type { Newest, Sources, Tried } from '../types.ts'
import { Area, Badge, Code, Empty, Failure, Notice, Page, Section, Select, Table, Waiting } from '../ui.tsx'

export function SourcesPage() {
  const { value, error, reload } = useLoad<Sources>('v1/sources')
  return (
    <Page title="Sources" about="Where events come from, and what their mappings make of them.">
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="sources" />}
      {value && (
        <Table
          label="Sources"
          rows={value.sources}
          keyOf={({ name }) => name}
          columns={[
            { name: 'Source', cell: ({ name }) => <code>{name}</code> },
            { name: 'Topic', cell: ({ topic }) => <code>{topic}</code> },
            { name: 'Mapping', cell: ({ mapping }) => mapping },
            { name: 'Format', cell: ({ format }) => format },
            { name: 'Keyed by', cell: ({ keyedBy }) => keyedBy },
          ]}
        />
      )}
      {value && can('sources:try') && <TryOut sources={value.sources.map(({ name }) => name)} />}
    </Page>
  )
}

function TryOut({ sources }: { sources: readonly string[] }) {
  const wanted = parameters.value.get('source')
  const [source, setSource] = useState(wanted && sources.includes(wanted) ? wanted : (sources[0] ?? ''))
  const [text, setText] = useState('')
  const [headers, setHeaders] = useState('')
  const [result, setResult] = useState<Tried>()
  const [error, setError] = useState<Error>()
  const [place, setPlace] = useState<string>()
  const attempt = async (work: () => Promise<void>) => {
    setError(undefined)
    await work().catch((cause: unknown) => {
      setResult(undefined)
      setError(cause as Error)
    })
  }
  const tryIt = () =>
    attempt(async () => {
      const body = { value: text, headers: headersOf(headers) }
      setResult(await post<Tried>(`v1/sources/${encodeURIComponent(source)}/try`, body))
    })
  const newest = () =>
    attempt(async () => {
      const record = await get<Newest>(`v1/sources/${encodeURIComponent(source)}/newest`)
      const found = textOf(record.value)
      if (found === undefined) throw new Error('The newest record is binary: it can not be edited here.')
      setText(pretty(found))
      setHeaders(
        Object.entries(record.headers)
          .map(([name, value]) => `${name}: ${value}`)
          .join('\n'),
      )
      setPlace(record.place)
      setResult(undefined)
    })
  return (
    <Section title="Try a mapping" about="Paste a raw record. Nothing is stored, nothing is sent on.">
      <form
        class="try"
        onSubmit={(event) => {
          event.preventDefault()
          void tryIt()
        }}
      >
        <div class="row end">
          <Select label="Source" value={source} options={sources} onValue={setSource} />
          <button type="button" onClick={() => void newest()}>
            Use the newest record
          </button>
          {place && <small class="soft">{place}</small>}
        </div>
        <div class="columns">
          <div>
            <Area label="Raw record" rows={18} value={text} onValue={setText} />
            <details>
              <summary>Headers</summary>
              <Area label="One a line, name: value" rows={3} value={headers} onValue={setHeaders} />
            </details>
            <button type="submit" class="primary" disabled={text.trim() === '' || source === ''}>
              Map it
            </button>
          </div>
          <div aria-live="polite">
            <Failure error={error} />
            {result ? (
              <Outcome result={result} />
            ) : (
              !error && <Empty title="No result yet.">Paste a record, or take the newest one, and map it.</Empty>
            )}
          </div>
        </div>
      </form>
    </Section>
  )
}

export function headersOf(text: string): Record<string, string> {
  const pairs = text.split('\n').flatMap((line): [string, string][] => {
    const at = line.indexOf(':')
    return at < 1 ? [] : [[line.slice(0, at).trim(), line.slice(at + 1).trim()]]
  })
  return Object.fromEntries(pairs)
}

/** Events, refusals and warnings of one mapped record. */
export function Outcome({ result }: { result: Tried }) {
  const { events, rejected, skipped, nulled, dropped, complete } = result
  const [nulls, drops] = [Object.entries(nulled), Object.entries(dropped)]
  return (
    <>
      <p class="row">
        <Badge tone={events.length > 0 ? 'good' : 'plain'}>{events.length} mapped</Badge>
        <Badge tone={rejected.length > 0 ? 'bad' : 'plain'}>{rejected.length} refused</Badge>
        {skipped > 0 && <Badge tone="warn">{skipped} left out by when or consent</Badge>}
        {!complete && <Badge>more are not shown</Badge>}
      </p>
      {rejected.map(({ code, path, message }) => (
        <Notice key={`${code} ${path} ${message}`} tone="bad">
          <strong>{code}</strong> <code>{path}</code> {message}
        </Notice>
      ))}
      {nulls.length > 0 && (
        <Notice tone="warn">
          <strong>Became null</strong> {nulls.map(([path]) => path).join(', ')}
        </Notice>
      )}
      {drops.length > 0 && (
        <Notice tone="warn">
          <strong>Not in the schema, left out</strong> {drops.map(([path]) => path).join(', ')}
        </Notice>
      )}
      {events.map(({ id, key, xdm }) => (
        <div key={id}>
          <p class="soft event-head">
            Event <code>{id}</code> of <code>{key}</code>
          </p>
          <Code text={JSON.stringify(xdm, null, 2)} label={`XDM of event ${id}`} />
        </div>
      ))}
    </>
  )
}
