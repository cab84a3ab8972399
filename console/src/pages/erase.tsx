/** Forgetting a person: asked for twice, with the reason, and what was done about it shown and kept. */
import { useState } from 'preact/hooks'
import { query, request, saveAs } from '../api.ts'
import { count } from '../format.ts'
import type { ErasureReport } from '../types.ts'
import { Badge, Facts, Failure, Field, Notice, Section, Table, Time } from '../ui.tsx'

interface EraseProps {
  readonly address: string
  readonly id: string
  /** The person is gone, or on the way out. */
  readonly done: (report: ErasureReport) => void
}

export function Erase({ address, id, done }: EraseProps) {
  const [isOpen, setOpen] = useState(false)
  return (
    <Section title="Erase">
      {isOpen ? (
        <Confirm address={address} id={id} done={done} cancel={() => setOpen(false)} />
      ) : (
        <p class="row">
          <button type="button" class="danger" onClick={() => setOpen(true)}>
            Erase this person…
          </button>
          <span class="soft">Asks once more first.</span>
        </p>
      )}
    </Section>
  )
}

function Confirm({ address, id, done, cancel }: EraseProps & { cancel: () => void }) {
  const [typed, setTyped] = useState('')
  const [reason, setReason] = useState('')
  const [error, setError] = useState<Error>()
  const [isBusy, setBusy] = useState(false)
  const isReady = typed.trim() === id && reason.trim() !== '' && !isBusy
  const erase = async () => {
    setError(undefined)
    setBusy(true)
    try {
      done((await (await request('DELETE', address + query({ reason: reason.trim() }))).json()) as ErasureReport)
    } catch (cause) {
      setError(cause as Error)
      setBusy(false)
    }
  }
  return (
    <form
      class="card danger"
      onSubmit={(event) => {
        event.preventDefault()
        if (isReady) void erase()
      }}
    >
      <p>
        <strong>This can't be undone.</strong> State, scores, segments, samples, labels and dead letters of this person
        are removed, under this identity and those linked to it; learners that may have learned from them are named.
      </p>
      <Field
        label="Type the identity to confirm"
        value={typed}
        onValue={setTyped}
        maxLength={512}
        isFirst
        isRequired
        hint={<code>{id}</code>}
      />
      <Field label="Why (for report and audit log)" value={reason} onValue={setReason} maxLength={512} isRequired />
      <p class="row">
        <button type="submit" class="danger" disabled={!isReady}>
          {isBusy ? 'Erasing…' : 'Erase for ever'}
        </button>
        <button type="button" onClick={cancel} disabled={isBusy}>
          Cancel
        </button>
      </p>
      <Failure error={error} />
    </form>
  )
}

/** What an erasure found, removed, and has to leave for a while. */
export function Report({ report }: { report: ErasureReport }) {
  const save = () => saveAs(new Blob([JSON.stringify(report, null, 2)], { type: 'application/json' }), 'erasure.json')
  return (
    <Section title="Report on the erasure">
      {report.status === 'done' ? (
        <Notice tone="good">The person was erased.</Notice>
      ) : (
        <Notice tone="warn">
          The orders stand in the log, and hold; no worker has taken all of them yet. A later report says when.
        </Notice>
      )}
      <Facts
        facts={[
          ['Request', <code key="request">{report.request}</code>],
          ['Asked for', <Time key="at" at={report.requestedAt} />],
          ['By', report.by],
          ['Why', report.why ?? '–'],
          ['Identities', <code key="identities">{report.identities.join(', ')}</code>],
          [
            'Signature',
            report.signature ? `${report.signature.algorithm}, key ${report.signature.keyId}` : 'none: no key is set',
          ],
          ['Learners to train again', report.retrain.length > 0 ? report.retrain.join(', ') : 'none'],
        ]}
      />
      <Table
        label="Removed"
        rows={report.removed}
        keyOf={({ what, where }) => `${what} ${where}`}
        columns={[
          { name: 'What', cell: ({ what }) => what },
          { name: 'Where', cell: ({ where }) => <code>{where}</code> },
          {
            name: 'Removed',
            cell: ({ found }) => (found ? <Badge tone="good">removed</Badge> : <Badge>nothing was there</Badge>),
          },
          { name: 'Records', isNumber: true, cell: ({ records }) => count(records) },
        ]}
      />
      {report.remaining.length > 0 && (
        <>
          <h3 class="table-head">Not gone yet</h3>
          <Table
            label="Not gone yet"
            rows={report.remaining}
            keyOf={({ what, where }) => `${what} ${where}`}
            columns={[
              { name: 'What', cell: ({ what }) => what },
              { name: 'Where', cell: ({ where }) => <code>{where}</code> },
              { name: 'Records', isNumber: true, cell: ({ records }) => count(records) },
              { name: 'Until', cell: ({ until }) => (until === null ? 'compaction' : <Time at={until} />) },
              { name: 'Why', isText: true, cell: ({ why }) => why },
            ]}
          />
        </>
      )}
      {report.notes.length > 0 && (
        <ul class="notes soft">
          {report.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      <p class="row end">
        <button type="button" onClick={save}>
          Save the report
        </button>
      </p>
    </Section>
  )
}
