import { useState } from 'preact/hooks'
import { query } from '../api.ts'
import { useLoad } from '../load.ts'
import type { Audit } from '../types.ts'
import { Badge, Empty, Failure, Field, Page, Select, Table, Time, type Tone, Waiting } from '../ui.tsx'

const TONES: Readonly<Record<Audit['entries'][number]['result'], Tone>> = {
  done: 'good',
  refused: 'warn',
  failed: 'bad',
}
const SINCE = [
  ['', 'any time'],
  ['1', 'last hour'],
  ['24', 'last day'],
  ['168', 'last week'],
] as const

export function AuditPage() {
  const [actor, setActor] = useState('')
  const [subject, setSubject] = useState('')
  const [hours, setHours] = useState('')
  const [limit, setLimit] = useState('50')
  // The hour is enough: an address that changes with every look would ask again with every look.
  const from = hours && new Date(Math.floor(Date.now() / 60_000) * 60_000 - Number(hours) * 3_600_000).toISOString()
  const asked = { limit, actor: actor.trim(), subject: subject.trim(), from }
  const { value, error, reload, isLoading } = useLoad<Audit>(`v1/audit${query(asked)}`)
  const isFiltered = actor !== '' || subject !== '' || hours !== ''
  return (
    <Page
      title="Audit"
      about="Who changed what, when, why and how it went."
      actions={
        <button type="button" onClick={reload} disabled={isLoading}>
          Reload
        </button>
      }
    >
      <div class="row end">
        <Field label="Who" size={14} placeholder="key:ops" value={actor} onValue={setActor} maxLength={160} isSearch />
        <Field label="What contains" size={18} value={subject} onValue={setSubject} maxLength={256} />
        <Select label="Since" value={hours} options={SINCE} onValue={setHours} />
      </div>
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="audit log" />}
      {value && value.entries.length === 0 && (
        <Empty title={isFiltered ? 'Nothing fits.' : 'Nothing was changed yet.'}>
          {isFiltered
            ? 'Clear the fields to see everything.'
            : 'Promotions, rules, replays, erasures and keys: whatever changes something over HTTP or on the command line is written down here.'}
        </Empty>
      )}
      {value && value.entries.length > 0 && (
        <Table
          label="Changes, newest first"
          rows={value.entries}
          keyOf={({ place }) => place}
          columns={[
            { name: 'When', cell: ({ at }) => <Time at={at} /> },
            { name: 'Who', cell: ({ actor: who, via }) => <span title={`by ${via}`}>{who}</span> },
            { name: 'Did', cell: ({ action }) => <code>{action}</code> },
            { name: 'To', isWide: true, cell: ({ subject: it }) => <code title={it}>{it}</code> },
            { name: 'Result', cell: ({ result }) => <Badge tone={TONES[result]}>{result}</Badge> },
            { name: 'Why', isWide: true, cell: ({ reason }) => <span title={reason ?? ''}>{reason ?? '–'}</span> },
            { name: 'Details', isWide: true, cell: ({ detail }) => <Details of={detail} /> },
          ]}
        />
      )}
      {value && !value.complete && value.entries.length > 0 && (
        <p class="soft row">
          Older ones exist.
          {limit !== '100' && (
            <button type="button" onClick={() => setLimit('100')}>
              Show 100
            </button>
          )}
        </p>
      )}
    </Page>
  )
}

function Details({ of: detail }: { of: Audit['entries'][number]['detail'] }) {
  const text = Object.entries(detail)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ')
  return <span title={text}>{text || '–'}</span>
}
