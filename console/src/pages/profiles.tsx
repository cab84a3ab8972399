import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import { ApiProblem, download } from '../api.ts'
import { bytes, count, duration, number, signed } from '../format.ts'
import { frame } from '../live.ts'
import { useLoad } from '../load.ts'
import { go, path, to } from '../route.ts'
import { can } from '../session.ts'
import type { ErasureReport, Profile, Why } from '../types.ts'
import { Badge, Empty, Facts, Failure, Field, Meter, Notice, Page, Section, Table, Time, Waiting } from '../ui.tsx'
import { Erase, Report } from './erase.tsx'
import { LastEvents } from './last-events.tsx'

export function ProfilesPage() {
  const [, namespace, id] = path.value
  return (
    <Page title="Profiles" about="Features, scores and the reasons for them, under one identity.">
      <Search key={`${namespace}:${id}`} namespace={namespace ?? 'ECID'} id={id ?? ''} />
      {namespace && id ? <Found key={`${namespace}:${id}`} namespace={namespace} id={id} /> : <Recent />}
    </Page>
  )
}

function Search(props: { namespace: string; id: string }) {
  const [namespace, setNamespace] = useState(props.namespace)
  const [id, setId] = useState(props.id)
  return (
    <form
      class="row end search"
      onSubmit={(event) => {
        event.preventDefault()
        go('profiles', namespace.trim(), id.trim())
      }}
    >
      <Field label="Namespace" size={12} maxLength={64} isRequired value={namespace} onValue={setNamespace} />
      <Field label="Identity" maxLength={512} isRequired value={id} onValue={setId} isSearch />
      <button type="submit" class="primary">
        Look up
      </button>
    </form>
  )
}

function Recent() {
  const scores = frame.value?.scores ?? []
  if (scores.length === 0) {
    return (
      <Empty title="Look a profile up by its identity.">
        Profiles that were scored lately are listed here as soon as there are some.
      </Empty>
    )
  }
  const profiles = [...new Map(scores.map((it) => [it.profile, it])).values()]
  return (
    <Section title="Scored lately">
      <Table
        label="Profiles that were scored lately"
        rows={profiles}
        keyOf={({ profile }) => profile}
        columns={[
          {
            name: 'Profile',
            isWide: true,
            cell: ({ profile }) => {
              const at = profile.indexOf(':')
              return (
                <a href={to('profiles', profile.slice(0, at), profile.slice(at + 1))} title={profile}>
                  <code>{profile}</code>
                </a>
              )
            },
          },
          { name: 'Model', cell: ({ model }) => model },
          { name: 'Score', cell: ({ score, model }) => <Meter value={score} label={model} /> },
          { name: 'When', cell: ({ at }) => <Time at={at} /> },
        ]}
      />
    </Section>
  )
}

function Found({ namespace, id }: { namespace: string; id: string }) {
  const address = `v1/profiles/${encodeURIComponent(namespace)}/${encodeURIComponent(id)}`
  const { value, error, reload } = useLoad<Profile>(address)
  const [failed, setFailed] = useState<Error>()
  const [erased, setErased] = useState<ErasureReport>()
  if (erased) return <Report report={erased} />
  const erase = can('profiles:erase') && <Erase address={address} id={id} done={setErased} />
  if (!value) {
    if (!error) return <Waiting what="profile" />
    return (
      <Unknown address={address} error={error} retry={reload}>
        {erase}
      </Unknown>
    )
  }
  return (
    <>
      <Section title={`${namespace}:${id}`}>
        <Facts
          facts={[
            ['Last event', <Time key="last" at={value.lastEventAt} />],
            ['State', bytes(value.stateBytes)],
            [
              'Partition',
              `${value.partition} at ${value.position === null ? 'another process' : count(value.position)}`,
            ],
            ['Not stored yet', `${value.pendingEvents} events`],
            ['Feature set', <code key="set">{value.featureSetVersion}</code>],
          ]}
        />
        <p class="row">
          <button type="button" onClick={reload}>
            Reload
          </button>
          <button
            type="button"
            onClick={() => {
              setFailed(undefined)
              download(`${address}/export`, 'profile.ndjson').catch(setFailed)
            }}
          >
            Export everything
          </button>
        </p>
        <Failure error={failed} />
      </Section>
      <Segments segments={value.segments} />
      <Scores profile={value} address={address} />
      <Section
        title={`Features (${value.features.length})`}
        about={`As of ${new Date(value.evaluatedAt).toISOString()}.`}
      >
        <Table
          label="Features of the profile"
          rows={value.features}
          keyOf={({ column }) => column}
          columns={[
            { name: 'Feature', cell: ({ column }) => <code>{column}</code> },
            { name: 'Value', isNumber: true, cell: ({ value: it }) => number(it) },
            { name: 'Age', isNumber: true, cell: ({ ageMs }) => duration(ageMs) },
          ]}
        />
      </Section>
      <LastEvents address={address} scored={value.lastEvents} />
      {erase}
    </>
  )
}

function Segments({ segments }: { segments: Profile['segments'] }) {
  const inFirst = [...segments].sort((a, b) => Number(a.status === 'exited') - Number(b.status === 'exited'))
  return (
    <Section title={`Segments (${segments.filter(({ status }) => status === 'realized').length})`}>
      {segments.length === 0 ? (
        <Empty title="In no segment, and never was in one." />
      ) : (
        <Table
          label="Segments of the profile"
          rows={inFirst}
          keyOf={({ segment }) => segment}
          columns={[
            {
              name: 'Segment',
              cell: ({ segment }) =>
                can('rules:read') ? <a href={to('rules', 'segments', segment)}>{segment}</a> : segment,
            },
            {
              name: 'Membership',
              cell: ({ status }) =>
                status === 'realized' ? <Badge tone="accent">in</Badge> : <Badge tone="plain">left</Badge>,
            },
            { name: 'Since', cell: ({ since }) => <Time at={since} /> },
          ]}
        />
      )}
    </Section>
  )
}

/** A profile whose features have expired may still have scores in the log, with what the model saw. */
function Unknown(props: { address: string; error: Error; retry: () => void; children: ComponentChildren }) {
  const { address, error, retry, children } = props
  const isMissing = error instanceof ApiProblem && error.status === 404
  const why = useLoad<Why>(isMissing ? `${address}/why` : undefined)
  if (!why.value) return <Failure error={error} retry={retry} />
  return (
    <>
      <Notice tone="warn">
        No features are kept now: they have expired since the last event, <Time at={why.value.eventAt} />, or the
        profile was erased. Its last score is still in the log.
      </Notice>
      <Reasons why={why.value} />
      {children}
    </>
  )
}

function Scores({ profile, address }: { profile: Profile; address: string }) {
  const last = profile.lastScores
  const why = useLoad<Why>(last ? `${address}/why?eventId=${encodeURIComponent(last.eventId)}` : undefined)
  if (!last) {
    return (
      <Section title="Scores">
        <Empty title="No score among the newest records.">
          <code>rtml explain</code> looks further back.
        </Empty>
      </Section>
    )
  }
  return (
    <>
      {why.isLoading && <Waiting what="scores" />}
      <Failure error={why.error} retry={why.reload} />
      {why.value && <Reasons why={why.value} />}
    </>
  )
}

function Reasons({ why }: { why: Why }) {
  return (
    <Section
      title="Why this score"
      about={
        <>
          Event <code>{why.eventId}</code>, <Time at={why.eventAt} />; scored <Time at={why.processedAt} />.
        </>
      }
    >
      <div class="cards">
        {why.scores.map((it) => (
          <div class="card" key={`${it.model}.${it.output}`}>
            <h3>
              {it.model} <small class="soft">version {it.version}</small>
            </h3>
            <p class="row">
              <Meter value={it.score} label={it.model} />
              <Badge tone={it.role === 'champion' ? 'accent' : 'plain'}>{it.role}</Badge>
              {it.fallback !== 'none' && <Badge tone="warn">fallback: {it.fallback}</Badge>}
            </p>
            <Attributions of={it.explanation} isKnown={why.trace.sample !== null} />
          </div>
        ))}
      </div>
      <Facts
        facts={[
          ['Score', <code key="score">{why.trace.score}</code>],
          ['Vector that the model saw', <code key="sample">{why.trace.sample ?? 'not found'}</code>],
          ['Event', <code key="input">{why.trace.input ?? 'not found'}</code>],
          ['Trace', <code key="trace">{why.trace.traceparent ?? 'none'}</code>],
        ]}
      />
    </Section>
  )
}

/** How much each feature moved the score from the baseline's: bars to the left and right of a line. */
function Attributions({ of: all, isKnown }: { of: Why['scores'][number]['explanation']; isKnown: boolean }) {
  const [isWhole, setWhole] = useState(false)
  if (all.length === 0) {
    return (
      <p class="soft">
        {isKnown
          ? 'No feature moved the score away from its baseline, or this version is no longer loaded.'
          : 'What the model saw of this event is not among the newest samples.'}
      </p>
    )
  }
  const sorted = [...all].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution))
  const largest = Math.max(1e-12, ...sorted.map(({ contribution }) => Math.abs(contribution)))
  const shown = isWhole ? sorted : sorted.slice(0, 8)
  return (
    <>
      <table class="attributions">
        <thead>
          <tr>
            <th scope="col">Feature</th>
            <th scope="col" class="number">
              Value
            </th>
            <th scope="col">Moved the score by</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ feature, contribution, value }) => (
            <tr key={feature}>
              <td class="wide">
                <code title={feature}>{feature}</code>
              </td>
              <td class="number">{number(value)}</td>
              <td>
                <span class="diverging">
                  <span class="diverging-track" aria-hidden="true">
                    <i
                      class={contribution < 0 ? 'down' : 'up'}
                      style={{ width: `${(50 * Math.abs(contribution)) / largest}%` }}
                    />
                  </span>
                  <span class="number">{signed(contribution)}</span>
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > 8 && (
        <button type="button" class="quiet" onClick={() => setWhole(!isWhole)}>
          {isWhole ? 'Show the largest' : `Show all ${sorted.length}`}
        </button>
      )}
    </>
  )
}
