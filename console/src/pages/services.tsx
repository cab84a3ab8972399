import { useRef, useState } from 'preact/hooks'
import { post, query } from '../api.ts'
import { Chart, type Line } from '../chart.tsx'
import { bytes, milliseconds, number, percent } from '../format.ts'
import { history } from '../live.ts'
import { useLoad } from '../load.ts'
import { path, to } from '../route.ts'
import { can } from '../session.ts'
import type { Learner, Learners, Pushed, Service, Services } from '../types.ts'
import {
  Badge,
  Empty,
  Facts,
  Failure,
  Field,
  Notice,
  Page,
  Section,
  Select,
  Table,
  Time,
  type Tone,
  Waiting,
} from '../ui.tsx'
import { Curves } from './curves.tsx'

type Role = Service['roles'][number]
type Version = Service['versions'][number]

export function ServicesPage() {
  const [, id] = path.value
  return id === undefined ? <Gallery /> : <Detail key={id} id={id} />
}

const TONES: Readonly<Record<Role['role'], Tone>> = { champion: 'accent', arm: 'good', shadow: 'plain' }
const nameOf = ({ role, share }: Role): string => (role === 'arm' ? `challenger ${percent(share ?? 0, 1)}` : role)

const Roles = ({ roles }: { roles: readonly Role[] }) => (
  <span class="row">
    {roles.map((it) => (
      <span key={`${it.model}@${it.version}`}>
        <Badge tone={TONES[it.role]}>{nameOf(it)}</Badge>{' '}
        <code>
          {it.model}@{it.version}
        </code>
      </span>
    ))}
    {roles.length === 0 && <span class="soft">nobody</span>}
  </span>
)

function Gallery() {
  const { value, error, reload } = useLoad<Services>('v1/services')
  return (
    <Page title="Services" about="What can be asked for predictions, and the models behind it.">
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="services" />}
      {value?.services.length === 0 && (
        <Empty title="No models yet.">
          Add one under <code>models</code> in the application file; <code>docs/models.md</code> shows how.
        </Empty>
      )}
      <div class="cards">
        {value?.services.map((service) => (
          <div class="card" key={service.id}>
            <h2>
              <a href={to('services', service.id)}>{service.id}</a>{' '}
              {service.deprecated && <Badge tone="bad">switched off</Badge>}
            </h2>
            <p class="soft">
              {RUNS[service.type]} <code>{service.url}</code>
            </p>
            <Roles roles={service.roles} />
            {service.problems.map((problem) => (
              <Notice key={problem} tone="bad">
                {problem}
              </Notice>
            ))}
          </div>
        ))}
      </div>
    </Page>
  )
}

const RUNS = { hub: 'Scores in the stream.', edge: 'Scores over HTTP.', both: 'Scores in the stream and over HTTP.' }

function Detail({ id }: { id: string }) {
  const address = `v1/services/${encodeURIComponent(id)}`
  const { value: service, error, reload } = useLoad<Service>(address)
  return (
    <Page title={id} about="Service" actions={<a href={to('services')}>All services</a>}>
      <Failure error={error} retry={reload} />
      {!service && !error && <Waiting what="service" />}
      {service && (
        <>
          {service.deprecated && <Notice tone="warn">Switched off: nobody is scored by it.</Notice>}
          {service.problems.map((problem) => (
            <Notice key={problem} tone="bad">
              {problem}
            </Notice>
          ))}
          <Facts
            facts={[
              ['Who serves', <Roles key="roles" roles={service.roles} />],
              ['Address', <code key="url">{service.url}</code>],
              ['Runs', RUNS[service.type]],
              ['Revision', `${service.revision}${behind(service)}`],
              ['Feature set', <code key="set">{service.featureSetVersion}</code>],
            ]}
          />
          {can('models:write') && <Operate key={service.revision} service={service} address={address} done={reload} />}
          <Latency service={service} />
          <Quality service={service} />
          <Versions service={service} />
          <Loaded service={service} />
          <History service={service} />
        </>
      )}
    </Page>
  )
}

const behind = ({ serving, revision }: Service): string =>
  serving === revision ? ', served here' : serving === null ? ', not served here yet' : `, here still ${serving}`

type Verb = 'promote' | 'rollback' | 'disable' | 'enable'
const VERBS: readonly (readonly [Verb, string])[] = [
  ['promote', 'Promote: next step, or a share'],
  ['rollback', 'Roll back to who served before'],
  ['disable', 'Switch off'],
  ['enable', 'Switch on again'],
]
const WHOLE = ''

/** One change at a time, made from the revision that is shown: who was faster is not overwritten. */
function Operate({ service, address, done }: { service: Service; address: string; done: () => void }) {
  const [verb, setVerb] = useState<Verb>('promote')
  const [chosen, setChosen] = useState(WHOLE)
  const [share, setShare] = useState('')
  const [why, setWhy] = useState('')
  const [error, setError] = useState<Error>()
  const versions = service.versions.map((it) => `${it.model}@${it.version}`)
  const act = async () => {
    setError(undefined)
    const at = chosen.lastIndexOf('@')
    const subject = chosen === WHOLE ? {} : { model: chosen.slice(0, at), version: chosen.slice(at + 1) }
    const part = verb === 'promote' && share !== '' ? { share: Number(share) / 100 } : {}
    try {
      await post(`${address}/${verb}`, { ...subject, ...part, revision: service.revision, ...(why ? { why } : {}) })
      done()
    } catch (cause) {
      setError(cause as Error)
    }
  }
  return (
    <Section title="Change who serves">
      <form
        class="row end"
        onSubmit={(event) => {
          event.preventDefault()
          void act()
        }}
      >
        <Select label="Change" value={verb} options={VERBS} onValue={(text) => setVerb(text as Verb)} />
        <Select
          label="Version"
          value={chosen}
          options={[[WHOLE, verb === 'promote' ? 'the only challenger' : 'the service'], ...versions]}
          onValue={setChosen}
        />
        {verb === 'promote' && (
          <Field label="Share, %" size={6} maxLength={5} placeholder="next" value={share} onValue={setShare} />
        )}
        <Field label="Why (for history and audit log)" maxLength={1_000} value={why} onValue={setWhy} />
        <button type="submit" class={verb === 'disable' ? 'danger' : 'primary'}>
          {verb === 'promote'
            ? 'Promote'
            : verb === 'rollback'
              ? 'Roll back'
              : verb === 'disable'
                ? 'Switch off'
                : 'Switch on'}
        </button>
      </form>
      <Failure error={error} />
      <Push service={service} address={address} done={done} />
    </Section>
  )
}

function Push({ service, address, done }: { service: Service; address: string; done: () => void }) {
  const file = useRef<HTMLInputElement>(null)
  const [version, setVersion] = useState('')
  const [why, setWhy] = useState('')
  const [error, setError] = useState<Error>()
  const [pushed, setPushed] = useState<Pushed>()
  const push = async () => {
    setError(undefined)
    setPushed(undefined)
    const model = file.current?.files?.[0]
    if (!model) return
    try {
      const given = query({ version: version.trim(), why: why.trim() })
      setPushed(await post<Pushed>(`${address}/versions${given}`, new Blob([model])))
      done()
    } catch (cause) {
      setError(cause as Error)
    }
  }
  return (
    <details>
      <summary>Push a version of {service.id}</summary>
      <form
        class="row end"
        onSubmit={(event) => {
          event.preventDefault()
          void push()
        }}
      >
        <div class="field">
          <label for="model-file">ONNX file</label>
          <input id="model-file" ref={file} type="file" accept=".onnx" required />
        </div>
        <Field label="Version" size={8} maxLength={64} placeholder="next" value={version} onValue={setVersion} />
        <Field label="Why" maxLength={1_000} value={why} onValue={setWhy} />
        <button type="submit">Push as shadow</button>
      </form>
      <p class="soft">It is checked against the feature set first, and watches until somebody promotes it.</p>
      <Failure error={error} />
      {pushed && (
        <Notice tone="good">
          {pushed.model}@{pushed.version} is in the registry.
        </Notice>
      )}
    </details>
  )
}

function Versions({ service }: { service: Service }) {
  const roleOf = (it: Version) => service.roles.find((role) => role.model === it.model && role.version === it.version)
  return (
    <Section title={`Versions (${service.versions.length})`}>
      {service.versions.length === 0 ? (
        <Empty title="No versions in the registry.">This process serves what its application file names.</Empty>
      ) : (
        <Table
          label="Versions"
          rows={service.versions}
          keyOf={(it) => `${it.model}@${it.version}`}
          columns={[
            {
              name: 'Version',
              cell: (it) => (
                <code>
                  {it.model}@{it.version}
                </code>
              ),
            },
            {
              name: 'Role',
              cell: (it) => {
                const role = roleOf(it)
                if (role) return <Badge tone={TONES[role.role]}>{nameOf(role)}</Badge>
                return service.blocked.includes(`${it.model}@${it.version}`) ? <Badge tone="bad">blocked</Badge> : '–'
              },
            },
            { name: 'Serves', isNumber: true, cell: ({ share }) => percent(share, 1) },
            ...MEASURES.filter(([measure]) => service.versions.some((it) => measuredOf(it, measure))).map(
              ([measure, name]) => ({
                name,
                isNumber: true,
                cell: (it: Version) => <Measured version={it} measure={measure} />,
              }),
            ),
            {
              name: 'Pushed',
              cell: ({ at, by }) => (
                <>
                  <Time at={at} /> <small class="soft">by {by}</small>
                </>
              ),
            },
            { name: 'Why', isText: true, cell: ({ why }) => why || '–' },
            {
              name: 'More',
              cell: (it) => (
                <details>
                  <summary>
                    {it.origin}, {it.kept ? bytes(it.sizeBytes) : 'not kept'}
                  </summary>
                  <Facts
                    facts={[
                      ['SHA-256', <code key="sha256">{it.sha256}</code>],
                      ['Figures when pushed', <Numbers key="metrics" of={it.metrics} />],
                      ['Figures on live labels', <Numbers key="live" of={it.live} />],
                      ...(it.kept ? [] : ([['ONNX file', 'no longer in the log: push it again to serve it']] as const)),
                    ]}
                  />
                </details>
              ),
            },
          ]}
        />
      )}
    </Section>
  )
}

const MEASURES = [
  ['auc', 'AUC'],
  ['logLoss', 'Log loss'],
  ['rmse', 'RMSE'],
  ['labels', 'Labels'],
] as const

/** On live labels where there are some, else as it was when pushed. */
function measuredOf({ live, metrics }: Version, measure: string): { value: number; isLive: boolean } | undefined {
  const [now, pushed] = [live?.[measure], metrics[measure]]
  if (typeof now === 'number') return { value: now, isLive: true }
  return typeof pushed === 'number' ? { value: pushed, isLive: false } : undefined
}

function Measured({ version, measure }: { version: Version; measure: string }) {
  const found = measuredOf(version, measure)
  if (!found) return <span>–</span>
  return (
    <span>
      {number(found.value)} {!found.isLive && <small class="soft">when pushed</small>}
    </span>
  )
}

/** The plain figures of a set of facts. */
function Numbers({ of: facts }: { of: Readonly<Record<string, unknown>> | null }) {
  const texts = Object.entries(facts ?? {}).flatMap(([name, value]) =>
    typeof value === 'number' ? [`${name} ${number(value)}`] : [],
  )
  const text = texts.join(', ')
  return <span title={text}>{text || '–'}</span>
}

const Loaded = ({ service }: { service: Service }) => (
  <Section title="Loaded in this process">
    {service.models.length === 0 ? (
      <Empty title="Nothing is loaded.">This process may not be one that the service is deployed to.</Empty>
    ) : (
      <Table
        label="Models in this process"
        rows={service.models}
        keyOf={(it) => `${it.model}@${it.version}`}
        columns={[
          {
            name: 'Model',
            cell: (it) => (
              <code>
                {it.model}@{it.version}
              </code>
            ),
          },
          { name: 'Role', cell: (it) => <Badge tone={TONES[it.role]}>{nameOf(it)}</Badge> },
          { name: 'Deployed to', cell: ({ deploy }) => deploy },
          { name: 'Deadline', isNumber: true, cell: ({ deadlineMs }) => milliseconds(deadlineMs) },
          { name: 'Fallback', cell: ({ fallback }) => fallback },
          {
            name: 'Features',
            isNumber: true,
            cell: ({ features }) => <span title={features.join(', ')}>{features.length}</span>,
          },
          { name: 'Outputs', cell: ({ outputs }) => outputs.join(', ') },
        ]}
      />
    )}
  </Section>
)

const History = ({ service }: { service: Service }) => (
  <Section title="History" about="Who changed what, when and why; newest first.">
    {service.history.length === 0 ? (
      <Empty title="Nothing was changed yet." />
    ) : (
      <Table
        label="Changes of who serves"
        rows={service.history}
        keyOf={({ revision }) => String(revision)}
        columns={[
          { name: 'When', cell: ({ at }) => <Time at={at} /> },
          { name: 'Who', cell: ({ by }) => by },
          {
            name: 'What',
            cell: ({ action, revision }) => (
              <>
                <Badge tone={ACTIONS[action] ?? 'plain'}>{action}</Badge>{' '}
                <small class="soft">revision {revision}</small>
              </>
            ),
          },
          { name: 'Why', isText: true, cell: ({ why }) => why || '–' },
          { name: 'Who serves after it', cell: ({ roles }) => <Roles roles={roles} /> },
          { name: 'Evidence', isText: true, cell: ({ evidence }) => <Numbers of={evidence} /> },
        ]}
      />
    )}
  </Section>
)

const ACTIONS: Partial<Readonly<Record<Service['history'][number]['action'], Tone>>> = {
  promote: 'good',
  rollback: 'warn',
  disable: 'bad',
  retire: 'bad',
}

const LATENCIES = [
  ['p50', '--accent', false],
  ['p99', '--warn', true],
] as const

/** How fast, as this process sees it now; beside how well, as labels judge it. */
function Latency({ service }: { service: Service }) {
  const points = history.value
  const x = points.map(({ at }) => at)
  const lines = (name: 'http' | 'stream'): Line[] =>
    LATENCIES.map(([quantile, color, isDashed]) => ({
      name: quantile,
      color,
      isDashed,
      values: points.map((it) => (name === 'stream' ? it[quantile] : it[quantile === 'p50' ? 'httpP50' : 'httpP99'])),
    }))
  return (
    <Section title="Latency" about="Of all services of this process, last ten seconds each, while this page is open.">
      {can('topology:read') ? (
        <div class="charts">
          {service.type !== 'edge' && (
            <Chart label="Event to score, in the stream" x={x} lines={lines('stream')} format={milliseconds} />
          )}
          {service.type !== 'hub' && (
            <Chart label="Request to answer, over HTTP" x={x} lines={lines('http')} format={milliseconds} />
          )}
        </div>
      ) : (
        <Empty title="Your key does not have the scope topology:read." />
      )}
    </Section>
  )
}

function Quality({ service }: { service: Service }) {
  const { value } = useLoad<Learners>('v1/learners')
  const learner = value?.learners.find((it) => it.service === service.id)
  const { value: found, error } = useLoad<Learner>(learner && `v1/learners/${encodeURIComponent(learner.name)}`)
  const own = new Set([...service.versions, ...service.models].map((it) => `${it.model}@${it.version}`))
  if (!value) return null
  return (
    <Section
      title="Quality"
      about={
        learner && (
          <>
            On live labels, as the learner <a href={to('learners', learner.name)}>{learner.name}</a> compares its
            versions with who serves.
          </>
        )
      }
    >
      <Failure error={error} />
      {!learner && (
        <Empty title="No learner follows this service.">
          Figures of its versions stand below as they were when pushed; <code>docs/learning.md</code> shows how labels
          come to judge them.
        </Empty>
      )}
      {found && <Curves of={found} isShown={(model) => model === 'learner' || own.has(model)} />}
    </Section>
  )
}
