/** What a definition would have changed over the last hours, before it is saved. */
import { useState } from 'preact/hooks'
import { post } from '../api.ts'
import { count, percent } from '../format.ts'
import type { RuleReplay } from '../types.ts'
import { Badge, Empty, Failure, Notice, Section, Select, Table, Time } from '../ui.tsx'

const SPANS: readonly (readonly [string, string])[] = [
  ['1h', 'last hour'],
  ['6h', 'last 6 hours'],
  ['24h', 'last 24 hours'],
  ['7d', 'last 7 days'],
]

/** @param definitions as in the editor; undefined: there is nothing to replay */
export function Replay({ definitions }: { definitions: object | undefined }) {
  const [last, setLast] = useState('6h')
  const [found, setFound] = useState<{ of: string; answer: RuleReplay }>()
  const [error, setError] = useState<Error>()
  const [isBusy, setBusy] = useState(false)
  const key = JSON.stringify(definitions)
  const replay = async () => {
    setError(undefined)
    setFound(undefined)
    setBusy(true)
    try {
      setFound({ of: key, answer: await post<RuleReplay>('v1/rules/preview', { ...definitions, last }) })
    } catch (cause) {
      setError(cause as Error)
    }
    setBusy(false)
  }
  return (
    <Section
      title="What would have changed"
      about="The log is replayed with the rules that hold, and with the definition above. Nothing is kept."
    >
      <div class="row end">
        <Select label="Over the" value={last} options={SPANS} onValue={setLast} />
        <button type="button" disabled={definitions === undefined || isBusy} onClick={() => void replay()}>
          {isBusy ? 'Replaying…' : 'Replay'}
        </button>
      </div>
      <Failure error={error} />
      <div aria-live="polite">
        {found && (
          <>
            {found.of !== key && <Notice tone="warn">The definition was edited since: replay again.</Notice>}
            <Changes of={found.answer} />
          </>
        )}
      </div>
    </Section>
  )
}

function Changes({ of: it }: { of: RuleReplay }) {
  if (it.events === 0) {
    return (
      <Empty title="No event in that time.">
        Since <Time at={it.from} />. Choose a longer time.
      </Empty>
    )
  }
  return (
    <>
      <p class="soft summary">
        {count(it.events)} events since <Time at={it.from} />, {count(it.profiles)} profiles.
      </p>
      {it.isPartial && <Notice tone="warn">There are more profiles than are followed: figures of the first.</Notice>}
      {it.segments.length > 0 && (
        <Table
          label="Segments before and after"
          rows={it.segments}
          keyOf={({ name }) => name}
          columns={[
            { name: 'Segment', cell: ({ name }) => name },
            { name: 'Entered', isNumber: true, cell: ({ before, after }) => move(before.entered, after.entered) },
            { name: 'Exited', isNumber: true, cell: ({ before, after }) => move(before.exited, after.exited) },
            { name: 'In at the end', isNumber: true, cell: ({ before, after }) => move(before.members, after.members) },
          ]}
        />
      )}
      {it.decisions.length > 0 && (
        <>
          <h3 class="table-head">Decisions</h3>
          <Table
            label="Decisions before and after"
            rows={it.decisions}
            keyOf={({ name }) => name}
            columns={[
              { name: 'Decision', cell: ({ name }) => name },
              { name: 'Answers', isNumber: true, cell: ({ answers }) => count(answers) },
              {
                name: 'Changed',
                isNumber: true,
                cell: ({ changed, answers }) => (
                  <Badge tone={changed > 0 ? 'accent' : 'plain'}>
                    {count(changed)} ({percent(changed, answers)})
                  </Badge>
                ),
              },
              { name: 'Offers', cell: ({ before, after }) => <Offers before={before} after={after} /> },
            ]}
          />
        </>
      )}
    </>
  )
}

type Offered = RuleReplay['decisions'][number]['before']

const Offers = ({ before, after }: { before: Offered; after: Offered }) => (
  <span class="tops">
    {[...new Set([...Object.keys(before), ...Object.keys(after)])].sort().map((offer) => (
      <span key={offer}>
        {offer} <small>{move(before[offer] ?? 0, after[offer] ?? 0)}</small>
      </span>
    ))}
  </span>
)

const move = (before: number, after: number) =>
  before === after ? (
    count(before)
  ) : (
    <>
      {count(before)} → <b>{count(after)}</b>
    </>
  )
