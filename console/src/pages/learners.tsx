import { count, number, percent } from '../format.ts'
import { useLoad } from '../load.ts'
import { path, to } from '../route.ts'
import type { Learner, Learners } from '../types.ts'
import { Badge, Empty, Facts, Failure, Notice, Page, Section, Table, Time, type Tone, Waiting } from '../ui.tsx'
import { Curves } from './curves.tsx'

export function LearnersPage() {
  const [, name] = path.value
  return name === undefined ? <List /> : <Detail key={name} name={name} />
}

const TONES: Readonly<Record<Learner['state'], Tone>> = {
  waiting: 'plain',
  shadow: 'plain',
  climbing: 'accent',
  serving: 'good',
  paused: 'warn',
  barred: 'bad',
}

function List() {
  const { value, error, reload } = useLoad<Learners>('v1/learners')
  return (
    <Page title="Learners" about="Models that learn from what visitors do next, and how far they have climbed.">
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="learners" />}
      {value?.learners.length === 0 && (
        <Empty title="No learners yet.">
          Add one under <code>learners</code> in the application file; <code>docs/learning.md</code> shows how.
        </Empty>
      )}
      {value && value.learners.length > 0 && (
        <Table
          label="Learners"
          rows={value.learners}
          keyOf={({ name }) => name}
          columns={[
            { name: 'Learner', cell: ({ name }) => <a href={to('learners', name)}>{name}</a> },
            { name: 'State', cell: ({ state }) => <Badge tone={TONES[state]}>{state}</Badge> },
            { name: 'Kind', cell: ({ kind }) => kind },
            { name: 'Label', cell: ({ label }) => label },
            { name: 'Service', cell: ({ service }) => <a href={to('services', service)}>{service}</a> },
            { name: 'Version', cell: ({ version }) => version ?? '–' },
            { name: 'Serves', isNumber: true, cell: ({ share }) => percent(share, 1) },
            { name: 'Labels', isNumber: true, cell: ({ labels }) => count(labels) },
            { name: 'Behind', isNumber: true, cell: ({ lagRecords }) => count(lagRecords) },
            {
              name: 'Alerts',
              isNumber: true,
              cell: (it) => (it.openAlerts > 0 ? <Badge tone="bad">{it.openAlerts}</Badge> : '0'),
            },
            { name: 'Next step', isWide: true, cell: ({ next }) => <span title={next}>{next}</span> },
          ]}
        />
      )}
    </Page>
  )
}

function Detail({ name }: { name: string }) {
  const { value: it, error, reload, isLoading } = useLoad<Learner>(`v1/learners/${encodeURIComponent(name)}`)
  return (
    <Page
      title={name}
      about="Learner"
      actions={
        <>
          <a href={to('learners')}>All learners</a>{' '}
          <button type="button" onClick={reload} disabled={isLoading}>
            Reload
          </button>
        </>
      }
    >
      <Failure error={error} retry={reload} />
      {!it && !error && <Waiting what="learner" />}
      {it && <Content it={it} />}
    </Page>
  )
}

function Content({ it }: { it: Learner }) {
  return (
    <>
      {it.alerts.open.map((alert) => (
        <Notice key={`${alert.code} ${alert.subject}`} tone={alert.severity === 'critical' ? 'bad' : 'warn'}>
          <strong>{alert.code}</strong> {alert.text} <small class="soft">since </small>
          <Time at={alert.since} />
        </Notice>
      ))}
      <Facts
        facts={[
          [
            'State',
            <Badge key="state" tone={TONES[it.state]}>
              {it.state}
            </Badge>,
          ],
          ['Version', it.version ?? '–'],
          ['Serves', `${percent(it.share, 1)} of ${it.service}`],
          ['Compared with', it.rival ?? '–'],
          ['Labels', count(it.labels)],
          ['Last label', <Time key="last" at={it.lastLabelAt} />],
          ['Next step', it.next],
          ['Promotion', it.automatic ? 'automatic' : 'by a person'],
        ]}
      />
      <Ladder it={it} />
      <Section title="Learning curves" about="Over labels, prequential: tested, then trained.">
        <Curves of={it} />
      </Section>
      <Figures
        title="Models"
        of={it.models}
        about="Of the last 1,000 labels; each label is judged before it is learned."
      />
      {Object.keys(it.slices).length > 0 && (
        <Figures title="What was served" of={it.slices} about="By role and model." />
      )}
      <Drift it={it} />
      <Moves it={it} />
    </>
  )
}

/** From shadow to all profiles. */
const Ladder = ({ it }: { it: Learner }) => (
  <Section title="Ladder">
    <ol class="ladder">
      {['shadow', ...it.steps.map((share) => percent(share, 1))].map((text, index) => (
        <li key={text} aria-current={index - 1 === it.step ? 'step' : undefined}>
          {text}
        </li>
      ))}
    </ol>
  </Section>
)

type FiguresOf = Learner['models']

function Figures({ title, of: all, about }: { title: string; of: FiguresOf; about: string }) {
  const rows = Object.entries(all)
  const figure = (name: keyof FiguresOf[string], head: string) => ({
    name: head,
    isNumber: true,
    cell: ([, figures]: (typeof rows)[number]) => number(figures[name] as number | null),
  })
  return (
    <Section title={title} about={about}>
      {rows.length === 0 ? (
        <Empty title="No labels yet.">Figures appear when outcomes come in.</Empty>
      ) : (
        <Table
          label={title}
          rows={rows}
          keyOf={([name]) => name}
          columns={[
            { name: 'Model', cell: ([name]) => <code>{name}</code> },
            { name: 'Labels', isNumber: true, cell: ([, { labels }]) => count(labels) },
            figure('logLoss', 'Log loss'),
            figure('auc', 'AUC'),
            figure('prAuc', 'PR AUC'),
            figure('calibrationError', 'Calibration'),
            figure('brier', 'Brier'),
            figure('accuracy', 'Accuracy'),
            figure('positiveRate', 'Positive'),
            figure('rmse', 'RMSE'),
          ]}
        />
      )}
    </Section>
  )
}

const Drift = ({ it: { drift } }: { it: Learner }) => (
  <Section title="Drift">
    <Facts
      facts={[
        [
          'Served decisions',
          <Badge key="level" tone={drift.level === 'none' ? 'good' : drift.level === 'warning' ? 'warn' : 'bad'}>
            {drift.level}
          </Badge>,
        ],
        ['Drifts so far', count(drift.drifts)],
      ]}
    />
    {drift.psi.length > 0 ? (
      <Table
        label="Features whose distribution moved"
        rows={drift.psi}
        keyOf={({ name }) => name}
        columns={[
          { name: 'Feature', cell: ({ name }) => <code>{name}</code> },
          { name: 'PSI', isNumber: true, cell: ({ psi }) => number(psi) },
        ]}
      />
    ) : (
      <p class="soft">No feature moved beyond chance.</p>
    )}
  </Section>
)

const Moves = ({ it: { moves } }: { it: Learner }) => (
  <Section title="Moves">
    {moves.length === 0 ? (
      <Empty title="It has not moved yet." />
    ) : (
      <Table
        label="Moves, newest first"
        rows={[...moves].reverse()}
        keyOf={({ at, kind, toShare }) => `${at} ${kind} ${toShare}`}
        columns={[
          { name: 'When', cell: ({ at }) => <Time at={at} /> },
          { name: 'Move', cell: ({ kind }) => kind },
          { name: 'Share', cell: (it) => `${percent(it.fromShare, 1)} → ${percent(it.toShare, 1)}` },
          { name: 'Version', cell: ({ version }) => version ?? '–' },
          { name: 'By', cell: ({ by }) => by },
          { name: 'Why', isWide: true, cell: ({ why }) => <span title={why}>{why}</span> },
        ]}
      />
    )}
  </Section>
)
