import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { SECURITY_VARIABLES } from '../../../processors/edge/auth/security.ts'
import { KAFKA_VARIABLES } from '../../../processors/engine/kafka/config.ts'
import { METRICS } from '../../../processors/runtime/telemetry.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..')
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Label names that an expression mentions beside a metric, and the series names in it. */
const seriesOf = (text: string): string[] => [...new Set(text.match(/\brtml_[a-z_]+\b/g) ?? [])]
const exists = (series: string): boolean => series in METRICS || series.replace(/_(bucket|sum|count)$/, '') in METRICS

interface Panel {
  readonly title: string
  readonly targets?: readonly { readonly expr: string }[]
}

describe('dashboard and alerts', () => {
  const dashboard = JSON.parse(read('deploy/grafana/dashboards/rtml.json')) as { panels: Panel[] }
  const expressions = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr]))

  it.each(expressions)('shows only metrics that rtml has: %s', (_, expression) => {
    expect(seriesOf(expression!).filter((series) => !exists(series))).toEqual([])
  })

  it('selects and groups only by labels that the metrics have', () => {
    const known = new Set<string>(Object.values(METRICS).flatMap(({ labels }) => [...labels]))
    for (const added of ['le', 'instance']) known.add(added)
    for (const [title, expression] of expressions) {
      const grouped = [...expression!.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap((match) => match[1]!.split(', '))
      const selected = [...expression!.matchAll(/(\w+)(?:=|!=)"/g)].map((match) => match[1]!)
      for (const label of [...grouped, ...selected]) expect(known, `${title}: ${label}`).toContain(label)
    }
  })

  it('shows every metric of the runtime somewhere', () => {
    const shown = expressions
      .flatMap(([, expression]) => seriesOf(expression!))
      .map((s) => s.replace(/_(bucket|sum|count)$/, ''))
    const hidden = Object.keys(METRICS).filter((name) => !shown.includes(name))
    // Optional fields that became null are a matter of mappings, looked up when needed.
    expect(hidden.filter((name) => name !== 'rtml_nulled_total')).toEqual([])
  })

  it('alerts only on metrics that rtml has, and says what to do', () => {
    const { groups } = parse(read('deploy/prometheus/alerts.yml')) as {
      groups: { rules: { alert: string; expr: string; annotations: { summary: string; action: string } }[] }[]
    }
    const rules = groups.flatMap((group) => group.rules)
    expect(rules.length).toBeGreaterThan(3)
    for (const { alert, expr, annotations } of rules) {
      expect(seriesOf(expr).length, alert).toBeGreaterThan(0)
      expect(
        seriesOf(expr).filter((series) => !exists(series)),
        alert,
      ).toEqual([])
      expect(annotations.action, alert).toBeTruthy()
    }
  })
})

describe('compose and chart', () => {
  it('are valid YAML', () => {
    const files = ['docker-compose.yml', ...globSync('deploy/**/*.{yml,yaml}', { cwd: ROOT })]
    for (const file of files.filter((name) => !name.includes('templates'))) {
      for (const document of parseAllDocuments(read(file))) expect(document.errors, file).toEqual([])
    }
  })

  it('give rtml only variables that it reads, and services that exist', () => {
    const compose = parse(read('docker-compose.yml')) as {
      services: Record<
        string,
        { environment?: Record<string, string>; depends_on?: string[] | object; volumes?: string[] }
      >
      volumes: Record<string, null>
    }
    const { rtml } = compose.services
    const names = Object.keys(compose.services)
    expect(names.sort()).toEqual(['grafana', 'kafka', 'prometheus', 'redis', 'registry', 'rtml'])
    for (const [name, value] of Object.entries(rtml?.environment ?? {})) {
      if (name in SECURITY_VARIABLES) continue
      expect(KAFKA_VARIABLES).toContain(name)
      expect(
        names.some((service) => value.includes(service)),
        value,
      ).toBe(true)
    }
    const chart = parse(read('deploy/helm/values.yaml')) as { env: Record<string, string> }
    const variables = [...KAFKA_VARIABLES, ...Object.keys(SECURITY_VARIABLES)]
    for (const name of Object.keys(chart.env)) expect(variables).toContain(name)
    for (const { volumes = [] } of Object.values(compose.services)) {
      for (const volume of volumes) {
        const [source] = volume.split(':')
        if (!source!.startsWith('.')) expect(Object.keys(compose.volumes)).toContain(source)
        else expect(globSync(source!, { cwd: ROOT }), volume).toHaveLength(1)
      }
    }
  })

  it('name every variable of the Kafka engine on its page', () => {
    const page = read('docs/kafka.md')
    const groups = [...page.matchAll(/`(…?[A-Z_]{4,})`/g)].map((match) => match[1]!)
    for (const name of KAFKA_VARIABLES) {
      const isNamed = groups.some((one) => one === name || (one.startsWith('…') && name.endsWith(one.slice(1))))
      expect(isNamed, name).toBe(true)
    }
  })
})
