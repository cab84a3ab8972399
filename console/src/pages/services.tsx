import { milliseconds, percent } from '../format.ts'
import { useLoad } from '../load.ts'
import type { Services } from '../types.ts'
import { Badge, Empty, Facts, Failure, Page, Section, Table, Waiting } from '../ui.tsx'

export function ServicesPage() {
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
      {value?.services.map((service) => (
        <Section key={service.id} title={service.id}>
          <Facts
            facts={[
              ['Address', <code key="url">{service.url}</code>],
              ['Runs in', service.type],
              ['Feature set', <code key="set">{service.featureSetVersion}</code>],
            ]}
          />
          <Table
            label={`Models of ${service.id}`}
            rows={service.models}
            keyOf={({ model }) => model}
            columns={[
              { name: 'Model', cell: ({ model }) => <code>{model}</code> },
              { name: 'Version', cell: ({ version }) => version },
              {
                name: 'Role',
                cell: ({ role }) => <Badge tone={role === 'champion' ? 'accent' : 'plain'}>{role}</Badge>,
              },
              { name: 'Share', isNumber: true, cell: ({ share }) => (share === null ? '–' : percent(share, 1)) },
              { name: 'Deadline', isNumber: true, cell: ({ deadlineMs }) => milliseconds(deadlineMs) },
              { name: 'Fallback', cell: ({ fallback }) => fallback },
              { name: 'Features', isNumber: true, cell: ({ features }) => features.length },
              { name: 'SHA-256', cell: ({ sha256 }) => <code title={sha256}>{sha256.slice(0, 12)}</code> },
            ]}
          />
        </Section>
      ))}
    </Page>
  )
}
