import { useState } from 'preact/hooks'
import { Histogram } from '../chart.tsx'
import { count, number, percent } from '../format.ts'
import { useLoad } from '../load.ts'
import type { Distribution, Feature, Features } from '../types.ts'
import { Empty, Failure, Field, Page, Section, Table, Time, Waiting } from '../ui.tsx'

export function FeaturesPage() {
  const { value, error, reload, isLoading } = useLoad<Features>('v1/features')
  const [filter, setFilter] = useState('')
  const shown = value?.features.filter(({ column, kind }) =>
    `${column} ${kind}`.toLowerCase().includes(filter.toLowerCase()),
  )
  return (
    <Page
      title="Features"
      about={
        value && (
          <>
            Feature set <code>{value.featureSetVersion}</code>.{' '}
            {value.sample ? (
              <>
                Values that models saw in the newest {count(value.sample.rows)} events, <Time at={value.sample.from} />{' '}
                to <Time at={value.sample.to} />.
              </>
            ) : (
              'No vectors yet.'
            )}
          </>
        )
      }
      actions={
        <button type="button" onClick={reload} disabled={isLoading}>
          Reload
        </button>
      }
    >
      <Failure error={error} retry={reload} />
      {!value && !error && <Waiting what="features" />}
      {value && !value.sample && (
        <Empty title="Nothing has been scored yet.">
          Distributions come from the vectors that models saw. Send events; each scored one leaves its vector in the
          samples.
        </Empty>
      )}
      {value && value.scores.length > 0 && (
        <Section title="Scores">
          <div class="cards">
            {value.scores.map(({ model, output, distribution }) => (
              <div class="card" key={`${model}.${output}`}>
                <h3>
                  {model}
                  {output === 'score' ? '' : `.${output}`}
                </h3>
                <Histogram bars={distribution.histogram} label={`Scores of ${model}`} />
                <p class="soft">
                  mean {number(distribution.mean)}, median {number(distribution.quantiles.p50)}, p99{' '}
                  {number(distribution.quantiles.p99)}
                </p>
              </div>
            ))}
          </div>
        </Section>
      )}
      {shown && (
        <Section title={`Features (${shown.length})`}>
          <Field label="Filter" value={filter} onValue={setFilter} isSearch placeholder="name or kind" />
          <Table
            label="Features"
            rows={shown}
            keyOf={({ column }) => column}
            columns={[
              {
                name: 'Feature',
                cell: (feature) => (
                  <details>
                    <summary>
                      <code>{feature.column}</code>
                    </summary>
                    <Definition feature={feature} />
                  </details>
                ),
              },
              { name: 'Kind', cell: ({ kind }) => kind },
              { name: 'Distribution', cell: ({ distribution, column }) => <Shape of={distribution} name={column} /> },
              { name: 'Missing', isNumber: true, cell: ({ distribution: it }) => it && percent(it.missing, it.rows) },
              { name: 'Min', isNumber: true, cell: ({ distribution: it }) => number(it?.min) },
              { name: 'Median', isNumber: true, cell: ({ distribution: it }) => number(it?.quantiles.p50) },
              { name: 'p99', isNumber: true, cell: ({ distribution: it }) => number(it?.quantiles.p99) },
              { name: 'Max', isNumber: true, cell: ({ distribution: it }) => number(it?.max) },
            ]}
          />
        </Section>
      )}
    </Page>
  )
}

function Shape({ of: it, name }: { of: Distribution | null; name: string }) {
  if (!it) return <>–</>
  if (it.top.length > 0) {
    return (
      <span class="tops">
        {it.top.slice(0, 4).map(({ value, count: times }) => (
          <span key={value} title={`${value}: ${times}`}>
            {value} <small class="soft">{percent(times, it.rows)}</small>
          </span>
        ))}
      </span>
    )
  }
  if (it.histogram.length === 0) return <span class="soft">all missing</span>
  if (it.histogram.length === 1) return <span class="soft">always {number(it.min)}</span>
  return <Histogram bars={it.histogram} label={`Distribution of ${name}`} />
}

function Definition({ feature }: { feature: Feature }) {
  const entries = Object.entries(feature.definition).filter(([, it]) => it !== undefined && it !== null)
  return (
    <dl class="facts">
      {entries.map(([name, it]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <code>{typeof it === 'object' ? JSON.stringify(it) : String(it)}</code>
          </dd>
        </div>
      ))}
      <div>
        <dt>read by</dt>
        <dd>{feature.usedBy.length > 0 ? feature.usedBy.join(', ') : 'no model'}</dd>
      </div>
    </dl>
  )
}
