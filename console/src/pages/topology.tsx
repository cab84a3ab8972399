import { Chart } from '../chart.tsx'
import { compact, count, milliseconds, rate } from '../format.ts'
import { type GraphEdge, layOut } from '../graph.ts'
import { frame, history, lagOf, type Point } from '../live.ts'
import { to } from '../route.ts'
import type { Frame } from '../types.ts'
import { Badge, Empty, Figure, Meter, Notice, Page, Scroll, Section, Table, Time, type Tone, Waiting } from '../ui.tsx'

export function TopologyPage() {
  const now = frame.value
  return (
    <Page
      title="Topology"
      about={
        now && `${now.engine} engine, this process's stages and all topics. Rates and latencies of the last seconds.`
      }
    >
      {now ? <Content now={now} points={history.value} /> : <Waiting what="figures" />}
    </Page>
  )
}

function Content({ now, points }: { now: Frame; points: readonly Point[] }) {
  const profile = now.stages.find(({ name }) => name === 'profile')
  return (
    <>
      {now.reasons.length > 0 && (
        <Notice tone="warn">
          <ul>
            {now.reasons.map((reason) => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
        </Notice>
      )}
      <div class="figures">
        <Figure name="Scored" value={rate(profile?.rateHz)} note={`${count(now.counts.scores)} scores so far`} />
        <Figure name="Lag" value={count(lagOf(now))} note="events appended and not yet applied" />
        <Figure
          name="Latency"
          value={milliseconds(profile?.latencyMs.p50)}
          note={`p99 ${milliseconds(profile?.latencyMs.p99)}, append to published`}
        />
        <Figure
          name="Requests"
          value={rate(now.http.rateHz)}
          note={`p99 ${milliseconds(now.http.latencyMs.p99)} of predict and interact`}
        />
        <Figure
          name="Refused"
          value={compact(now.counts.rejected)}
          note={
            now.counts.rejected ? (
              <a href={to('dead-letters')}>dead letters</a>
            ) : (
              `${compact(now.counts.duplicates)} duplicates, ${compact(now.counts.late)} late`
            )
          }
        />
      </div>
      <Section title="Flow">
        <Flow now={now} />
      </Section>
      <div class="charts">
        <Chart
          label="Events applied, a second"
          x={points.map(({ at }) => at)}
          lines={[{ name: 'profile', color: '--accent', values: points.map(({ applied }) => applied) }]}
          format={rate}
        />
        <Chart
          label="Latency, append to published"
          x={points.map(({ at }) => at)}
          lines={[
            { name: 'p50', color: '--accent', values: points.map(({ p50 }) => p50) },
            { name: 'p99', color: '--soft', isDashed: true, values: points.map(({ p99 }) => p99) },
          ]}
          format={milliseconds}
        />
      </div>
      <Section title="Stages">
        <Table
          label="Stages"
          rows={now.stages}
          keyOf={({ name }) => name}
          columns={[
            { name: 'Stage', cell: ({ name }) => <code>{name}</code> },
            { name: 'State', cell: ({ state }) => <Badge tone={toneOf(state)}>{state}</Badge> },
            { name: 'Reads', cell: ({ topic }) => <code>{topic}</code> },
            { name: 'Shards', isNumber: true, cell: ({ shards }) => count(shards) },
            { name: 'Rate', isNumber: true, cell: ({ rateHz }) => rate(rateHz) },
            { name: 'Lag, events', isNumber: true, cell: ({ lagEvents }) => count(lagEvents) },
            { name: 'p50', isNumber: true, cell: ({ latencyMs }) => milliseconds(latencyMs.p50) },
            { name: 'p99', isNumber: true, cell: ({ latencyMs }) => milliseconds(latencyMs.p99) },
          ]}
        />
      </Section>
      <Section title="Topics">
        <Table
          label="Topics"
          rows={now.topics}
          keyOf={({ name }) => name}
          columns={[
            { name: 'Topic', cell: ({ name }) => <code>{name}</code> },
            { name: 'Holds', cell: ({ role }) => role },
            { name: 'Partitions', isNumber: true, cell: ({ partitions }) => count(partitions) },
            { name: 'Records kept', isNumber: true, cell: ({ records }) => count(records) },
            { name: 'Rate', isNumber: true, cell: ({ rateHz }) => rate(rateHz) },
          ]}
        />
      </Section>
      <Section title="Last scores">
        {now.scores.length === 0 ? (
          <Empty title="No scores yet.">Send an event: the profile that it belongs to appears here.</Empty>
        ) : (
          <Table
            label="Last scores"
            rows={now.scores}
            keyOf={({ profile: it, model }) => `${it}/${model}`}
            columns={[
              {
                name: 'Profile',
                isWide: true,
                cell: ({ profile: it }) => (
                  <a href={profileLink(it)} title={it}>
                    <code>{it}</code>
                  </a>
                ),
              },
              { name: 'Model', cell: ({ model }) => model },
              { name: 'Score', cell: ({ score, model }) => <Meter value={score} label={model} /> },
              { name: 'When', cell: ({ at }) => <Time at={at} /> },
            ]}
          />
        )}
      </Section>
    </>
  )
}

const toneOf = (state: string): Tone => (state === 'running' ? 'good' : state === 'failed' ? 'bad' : 'warn')

function profileLink(profile: string): string {
  const at = profile.indexOf(':')
  return to('profiles', profile.slice(0, at), profile.slice(at + 1))
}

const SIZE = { width: 146, height: 54, gapX: 28, gapY: 14 }
const PAD = 4

interface Node {
  readonly id: string
  readonly name: string
  readonly lines: readonly string[]
  readonly kind: 'topic' | 'stage' | 'dead'
  readonly href?: string | undefined
  readonly rateHz: number | null
  readonly isWell: boolean
}

/** Topics and stages as boxes, left to right; only what something flows through. */
function Flow({ now }: { now: Frame }) {
  const used = new Set(now.edges.flatMap(({ from, to: end }) => [from, end]))
  const nodes = nodesOf(now).filter(({ id }) => used.has(id))
  if (nodes.length === 0) return <Empty title="Nothing flows yet.">The application is starting.</Empty>
  const { places, width, height } = layOut(nodes, now.edges, SIZE)
  const rates = new Map(nodes.map(({ id, rateHz }) => [id, rateHz]))
  return (
    <Scroll label="Flow of events, left to right">
      <svg
        class="flow"
        style={{ maxWidth: `${width + 2 * PAD}px` }}
        viewBox={`${-PAD} ${-PAD} ${width + 2 * PAD} ${height + 2 * PAD}`}
      >
        <title>Flow of events</title>
        {now.edges.map((edge) => (
          <Arrow key={`${edge.from} ${edge.to}`} edge={edge} places={places} rateHz={busier(edge, rates)} />
        ))}
        {nodes.map((node) => {
          const place = places.get(node.id)
          return place && <Box key={node.id} node={node} x={place.x} y={place.y} />
        })}
      </svg>
    </Scroll>
  )
}

/** What flows over an edge is what its topic takes in. */
const busier = ({ from, to: end }: GraphEdge, rates: ReadonlyMap<string, number | null>): number =>
  (from.startsWith('topic:') ? rates.get(from) : rates.get(end)) ?? 0

function nodesOf(now: Frame): Node[] {
  return [
    ...now.topics.map(({ name, role, records, rateHz }): Node => {
      const isDead = role === 'dead letters'
      return {
        id: `topic:${name}`,
        name,
        kind: isDead ? 'dead' : 'topic',
        lines: [`${rate(rateHz)} · ${compact(records)} kept`],
        href: isDead ? to('dead-letters') : role === 'raw' ? to('sources') : undefined,
        rateHz,
        isWell: !isDead || records === 0,
      }
    }),
    ...now.stages.map(({ name, state, lagEvents, latencyMs, rateHz }): Node => {
      const isWell = state === 'running'
      return {
        id: `stage:${name}`,
        name,
        kind: 'stage',
        lines: [isWell ? `lag ${compact(lagEvents)} · p99 ${milliseconds(latencyMs.p99)}` : state],
        rateHz,
        isWell,
      }
    }),
  ]
}

function Box({ node, x, y }: { node: Node; x: number; y: number }) {
  const text = (
    <>
      <title>{[node.name, ...node.lines].join(', ')}</title>
      <rect width={SIZE.width} height={SIZE.height} rx={node.kind === 'stage' ? 6 : 2} />
      <text x={10} y={22} class="node-name">
        {short(node.name)}
      </text>
      <text x={10} y={41} class="node-line">
        {node.lines[0]}
      </text>
    </>
  )
  return (
    <g class={`node ${node.kind} ${node.isWell ? '' : 'unwell'}`} transform={`translate(${x} ${y})`}>
      {node.href ? <a href={node.href}>{text}</a> : text}
    </g>
  )
}

const short = (name: string): string => (name.length > 18 ? `${name.slice(0, 8)}…${name.slice(-9)}` : name)

function Arrow(props: {
  edge: GraphEdge
  places: ReadonlyMap<string, { readonly x: number; readonly y: number }>
  rateHz: number
}) {
  const [from, end] = [props.places.get(props.edge.from), props.places.get(props.edge.to)]
  if (!from || !end) return null
  const [x1, y1] = [from.x + SIZE.width, from.y + SIZE.height / 2]
  const [x2, y2] = [end.x, end.y + SIZE.height / 2]
  const bend = Math.max(20, (x2 - x1) / 2)
  const width = props.rateHz > 0 ? 1.5 + Math.min(2.5, Math.log10(1 + props.rateHz) / 2) : 1
  return (
    <path
      class={`arrow ${props.rateHz > 0 ? 'busy' : ''}`}
      d={`M ${x1} ${y1} C ${x1 + bend} ${y1}, ${x2 - bend} ${y2}, ${x2 - 5} ${y2} m -5 -4 l 5 4 l -5 4`}
      stroke-width={width}
    />
  )
}
