import { useState } from 'preact/hooks'
import { ApiProblem, post, query, request } from '../api.ts'
import { count, percent } from '../format.ts'
import { useLoad } from '../load.ts'
import { go, path, to } from '../route.ts'
import { can } from '../session.ts'
import type { RuleChanged, RuleCheck, RuleHistory, RulePreview, Rules } from '../types.ts'
import { Badge, Empty, Facts, Failure, Field, Notice, Page, Section, Select, Table, Time, Waiting } from '../ui.tsx'
import { JsonField, SegmentFields } from './rule-fields.tsx'
import { Replay } from './rule-replay.tsx'

type SectionName = 'segments' | 'decisions'
type Rule = Rules['segments'][number]

const NEW = 'new'
const ORIGINS = {
  file: 'As the application file says.',
  changed: 'Changed while the application runs.',
  added: 'Added while the application runs.',
} as const
const EXAMPLES: Readonly<Record<SectionName, object>> = {
  segments: { when: 'commerce.productViews.value > 0' },
  decisions: { scope: 'banner', offers: { usual: { content: { text: 'Welcome' } } }, default: 'usual' },
}

export function RulesPage() {
  const [, section, name] = path.value
  const { value, error, reload } = useLoad<Rules>('v1/rules')
  const isSection = section === 'segments' || section === 'decisions'
  const rule = isSection ? value?.[section].find((it) => it.name === name) : undefined
  if (error instanceof ApiProblem && error.status === 404) {
    return (
      <Page title="Rules">
        <Empty title="No segments and no decisions yet.">
          Add one under <code>segments</code> or <code>decisions</code> in the application file and start again; after
          that they can be changed here while the application runs. <code>docs/segments-and-decisions.md</code> shows
          how.
        </Empty>
      </Page>
    )
  }
  if (value && isSection && name !== undefined) {
    return (
      <Editor key={`${section}/${name}/${value.revision}`} section={section} rule={rule} rules={value} saved={reload} />
    )
  }
  return (
    <Page
      title="Rules"
      about={value && `Segments and decisions that hold, revision ${value.revision}${inStream(value)}.`}
      actions={
        can('rules:write') && (
          <>
            <a href={to('rules', 'segments', NEW)}>New segment</a>{' '}
            <a href={to('rules', 'decisions', NEW)}>New decision</a>
          </>
        )
      }
    >
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="rules" />}
      {value && (
        <>
          <List title="Segments" section="segments" rules={value.segments} />
          <List title="Decisions" section="decisions" rules={value.decisions} />
          <History key={value.revision} />
        </>
      )}
    </Page>
  )
}

const inStream = ({ revision, inStream: reached }: Rules): string =>
  reached >= revision ? ', in the whole stream' : `; the stream has reached ${reached}`

function List({ title, section, rules }: { title: string; section: SectionName; rules: readonly Rule[] }) {
  return (
    <Section title={`${title} (${rules.length})`}>
      {rules.length === 0 ? (
        <Empty title={`No ${section}.`} />
      ) : (
        <Table
          label={title}
          rows={rules}
          keyOf={({ name }) => name}
          columns={[
            { name: 'Name', cell: ({ name }) => <a href={to('rules', section, name)}>{name}</a> },
            {
              name: 'Origin',
              cell: ({ origin }) => <Badge tone={origin === 'file' ? 'plain' : 'accent'}>{origin}</Badge>,
            },
            {
              name: 'Definition',
              isWide: true,
              cell: ({ definition }) => {
                const text = JSON.stringify(definition)
                return <code title={text}>{text.slice(0, 200)}</code>
              },
            },
          ]}
        />
      )}
    </Section>
  )
}

function Editor(props: { section: SectionName; rule: Rule | undefined; rules: Rules; saved: () => void }) {
  const { section, rule, rules } = props
  const address = (name: string) => `v1/rules/${section}/${encodeURIComponent(name)}`
  const [name, setName] = useState(rule?.name ?? '')
  const [text, setText] = useState(JSON.stringify(rule?.definition ?? EXAMPLES[section], null, 2))
  const [isJson, setJson] = useState(section === 'decisions')
  const [why, setWhy] = useState('')
  const [checked, setChecked] = useState<RuleCheck>()
  const [saved, setSaved] = useState<RuleChanged>()
  const [error, setError] = useState<Error>()
  const definition = parse(text)
  const edited = (next: string) => {
    setText(next)
    // A check says something about what was checked, not about what stands there now.
    setChecked(undefined)
  }
  const renamed = (next: string) => {
    setName(next)
    setChecked(undefined)
  }
  const attempt = async (work: () => Promise<void>) => {
    setError(undefined)
    setSaved(undefined)
    await work().catch(setError)
  }
  const check = () =>
    attempt(async () => setChecked(await post<RuleCheck>('v1/rules/check', { [section]: { [name]: definition } })))
  const save = () =>
    attempt(async () => {
      const body = { definition, revision: rules.revision, why }
      setSaved((await (await request('PUT', address(name), body)).json()) as RuleChanged)
    })
  const takeBack = () =>
    attempt(async () => {
      const given = query({ revision: String(rules.revision), why })
      setSaved((await (await request('DELETE', address(name) + given)).json()) as RuleChanged)
    })
  const isReady = checked?.valid === true && why.trim() !== ''
  return (
    <Page
      title={rule?.name ?? `New ${section === 'segments' ? 'segment' : 'decision'}`}
      about={rule && ORIGINS[rule.origin]}
      actions={<a href={to('rules')}>All rules</a>}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void save()
        }}
      >
        <div class="columns">
          <div>
            {!rule && <Field label="Name" maxLength={64} value={name} onValue={renamed} isRequired />}
            {section === 'segments' && definition !== undefined && (
              <p class="row mode">
                <button type="button" onClick={() => setJson(!isJson)}>
                  {isJson ? 'Edit as a form' : 'Edit as JSON'}
                </button>
              </p>
            )}
            {isJson || definition === undefined ? (
              <JsonField
                text={text}
                onText={edited}
                isInvalid={definition === undefined}
                rule={`${section}.${name}`}
                problems={checked?.problems ?? []}
              />
            ) : (
              <SegmentFields
                definition={definition}
                onDefinition={(next) => edited(JSON.stringify(next, null, 2))}
                rule={`${section}.${name}`}
                problems={checked?.problems ?? []}
              />
            )}
            <Field label="Why (for history and audit log)" maxLength={512} value={why} onValue={setWhy} />
            <p class="row">
              <button type="button" disabled={definition === undefined || name === ''} onClick={() => void check()}>
                Check
              </button>
              {can('rules:write') && (
                <button type="submit" class="primary" disabled={!isReady}>
                  Save
                </button>
              )}
              {can('rules:write') && rule && rule.origin !== 'file' && (
                <button type="button" class="danger" disabled={why.trim() === ''} onClick={() => void takeBack()}>
                  {rule.origin === 'changed' ? 'Back to the application file' : 'Remove'}
                </button>
              )}
            </p>
            {can('rules:write') && !isReady && !saved && (
              <p class="soft">Check the definition and say why, then it can be saved.</p>
            )}
          </div>
          <div aria-live="polite">
            <Failure error={error} />
            {error instanceof ApiProblem && error.status === 409 && (
              <button type="button" onClick={props.saved}>
                Read the rules again
              </button>
            )}
            {saved && (
              <Notice tone="good">
                <p>
                  Saved as revision {saved.revision}.{' '}
                  <button
                    type="button"
                    class="quiet"
                    onClick={() => {
                      props.saved()
                      go('rules')
                    }}
                  >
                    All rules
                  </button>
                </p>
                <ul>
                  {saved.notes.map((note) => (
                    <li key={note}>{note}</li>
                  ))}
                </ul>
              </Notice>
            )}
            {checked?.valid && !saved && (
              <Notice tone="good">The definition is possible. See below what it would change.</Notice>
            )}
            {checked && !checked.valid && (
              <Notice tone="bad">The definition is not possible yet: what is wrong stands at its place.</Notice>
            )}
          </div>
        </div>
      </form>
      <Replay definitions={definition && name !== '' ? { [section]: { [name]: definition } } : undefined} />
      <Preview definitions={definition && name !== '' ? { [section]: { [name]: definition } } : {}} />
    </Page>
  )
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** One profile with the rules that hold, beside the same profile with the definition as it stands in the editor. */
function Preview({ definitions }: { definitions: object }) {
  const [namespace, setNamespace] = useState('ECID')
  const [id, setId] = useState('')
  const [found, setFound] = useState<RulePreview>()
  const [error, setError] = useState<Error>()
  const preview = async () => {
    setError(undefined)
    try {
      setFound(await post<RulePreview>('v1/decisions/preview', { identity: { namespace, id }, ...definitions }))
    } catch (cause) {
      setFound(undefined)
      setError(cause as Error)
    }
  }
  return (
    <Section
      title="Preview for a profile"
      about="With the rules that hold, and with the definition above. Nothing is kept."
    >
      <form
        class="row end search"
        onSubmit={(event) => {
          event.preventDefault()
          void preview()
        }}
      >
        <Field label="Namespace" size={12} maxLength={64} isRequired value={namespace} onValue={setNamespace} />
        <Field label="Identity" maxLength={512} isRequired value={id} onValue={setId} isSearch />
        <button type="submit">Preview</button>
      </form>
      <Failure error={error} />
      {found && (
        <div class="cards">
          <Situation title="Now" of={found} />
          {found.with && <Situation title="With this definition" of={found.with} />}
        </div>
      )}
      {found && found.missing.length > 0 && <Notice tone="warn">Not known: {found.missing.join(', ')}</Notice>}
    </Section>
  )
}

const Situation = ({ title, of: it }: { title: string; of: NonNullable<RulePreview['with']> }) => (
  <div class="card">
    <h3>{title}</h3>
    <p class="row">
      {it.segments.length === 0 && <span class="soft">in no segment</span>}
      {it.segments.map((segment) => (
        <Badge key={segment} tone="accent">
          {segment}
        </Badge>
      ))}
    </p>
    {it.decisions.map(({ decision, scope, offer, reason, propensity }) => (
      <Facts
        key={`${decision} ${scope}`}
        facts={[
          ['Decision', decision],
          ['Scope', scope],
          ['Offer', offer],
          ['Because of', reason],
          ['Propensity', percent(propensity, 1)],
        ]}
      />
    ))}
  </div>
)

function History() {
  const { value, error, reload } = useLoad<RuleHistory>('v1/rules/history')
  const [kind, setKind] = useState('')
  const shown = value?.changes.filter((it) => kind === '' || it.kind === kind) ?? []
  return (
    <Section title={`History (${count(value?.changes.length)})`}>
      <Failure error={error} retry={reload} />
      {value && value.changes.length === 0 && (
        <Empty title="Nothing was changed yet.">What holds is what the application file says.</Empty>
      )}
      {value && value.changes.length > 0 && (
        <>
          <div class="row end">
            <Select label="Kind" value={kind} options={[['', 'all'], 'segment', 'decision']} onValue={setKind} />
          </div>
          <Table
            label="Changes of rules"
            rows={shown}
            keyOf={({ revision }) => String(revision)}
            columns={[
              { name: 'Revision', isNumber: true, cell: ({ revision }) => revision },
              { name: 'Kind', cell: (it) => it.kind },
              { name: 'Name', cell: ({ name }) => <code>{name}</code> },
              { name: 'Change', cell: ({ definition }) => (definition === null ? 'taken back' : 'set') },
              { name: 'By', cell: ({ by }) => by },
              { name: 'When', cell: ({ at }) => <Time at={at} /> },
              { name: 'Why', isWide: true, cell: ({ why }) => <span title={why}>{why}</span> },
            ]}
          />
        </>
      )}
    </Section>
  )
}
