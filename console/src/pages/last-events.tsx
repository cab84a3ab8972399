/** The newest events of a profile; what they hold is read from the export when asked for: the whole log is looked through. */
import { useEffect, useState } from 'preact/hooks'
import { linesOf } from '../api.ts'
import type { Profile } from '../types.ts'
import { Code, Empty, Failure, Section, Table, Time } from '../ui.tsx'

interface Entry {
  readonly place: string
  readonly xdm: { readonly _id: string; readonly timestamp: string; readonly eventType?: string }
}

const SHOWN = 20
/** Of an export: more is looked at in the file. */
const MAX_CHARS = 8_000_000

export function LastEvents({ address, scored }: { address: string; scored: Profile['lastEvents'] }) {
  const [events, setEvents] = useState<readonly Entry[]>()
  const [isReading, setReading] = useState(false)
  const [isWhole, setWhole] = useState(true)
  const [error, setError] = useState<Error>()
  const [stop] = useState(() => new AbortController())
  useEffect(() => () => stop.abort(), [stop])
  const read = async () => {
    setError(undefined)
    setReading(true)
    try {
      let newest: Entry[] = []
      let chars = 0
      for await (const line of linesOf(`${address}/export`, stop.signal)) {
        chars += line.length
        if (chars > MAX_CHARS) break
        const entry = JSON.parse(line) as { kind: string } & Entry
        if (entry.kind === 'event') newest = [...newest.slice(1 - SHOWN), entry]
      }
      setWhole(chars <= MAX_CHARS)
      setEvents(newest.sort((a, b) => Date.parse(b.xdm.timestamp) - Date.parse(a.xdm.timestamp)))
    } catch (cause) {
      if (!stop.signal.aborted) setError(cause as Error)
    }
    if (!stop.signal.aborted) setReading(false)
  }
  return (
    <Section title="Last events">
      <Failure error={error} />
      {events === undefined && scored.length > 0 && (
        <Table
          label="Events that were scored last"
          rows={scored}
          keyOf={({ place }) => place}
          columns={[
            { name: 'When', cell: ({ eventAt }) => <Time at={eventAt} /> },
            { name: 'Id', isWide: true, cell: ({ eventId }) => <code title={eventId}>{eventId}</code> },
            { name: 'Source', cell: ({ source }) => source },
            { name: 'Scored', cell: ({ processedAt }) => <Time at={processedAt} /> },
            { name: 'Record of the scores', cell: ({ place }) => <code>{place}</code> },
          ]}
        />
      )}
      {events === undefined ? (
        <p class="row end">
          <button type="button" disabled={isReading} onClick={() => void read()}>
            {isReading ? 'Reading…' : 'Read what they hold from the log'}
          </button>
          <span class="soft">Looks through the whole partition.</span>
        </p>
      ) : (
        <>
          {!isWhole && <p class="soft">There are too many to read here: newer ones are in the export.</p>}
          {events.length === 0 ? (
            <Empty title="No event of this profile is kept." />
          ) : (
            <Table
              label="Last events of the profile"
              rows={events}
              keyOf={({ place }) => place}
              columns={[
                { name: 'When', cell: ({ xdm }) => <Time at={xdm.timestamp} /> },
                {
                  name: 'Event',
                  cell: ({ xdm }) => (
                    <details>
                      <summary>{xdm.eventType ?? 'event'}</summary>
                      <Code label={`Event ${xdm._id}`} text={JSON.stringify(xdm, null, 2)} />
                    </details>
                  ),
                },
                { name: 'Id', isWide: true, cell: ({ xdm }) => <code title={xdm._id}>{xdm._id}</code> },
                { name: 'Record', cell: ({ place }) => <code>{place}</code> },
              ]}
            />
          )}
        </>
      )}
    </Section>
  )
}
