/** Places the nodes of a flow left to right: layers by longest path, order by the middle of the neighbours. Pure. */
export interface GraphNode {
  readonly id: string
}
export interface GraphEdge {
  readonly from: string
  readonly to: string
}
export interface Placed {
  readonly x: number
  readonly y: number
}
export interface Laid {
  readonly places: ReadonlyMap<string, Placed>
  readonly width: number
  readonly height: number
}

/** Sweeps that reduce crossings; more change little on graphs of this size. */
const SWEEPS = 4

export function layOut(
  nodes: readonly GraphNode[],
  edges: readonly GraphEdge[],
  size: { readonly width: number; readonly height: number; readonly gapX: number; readonly gapY: number },
): Laid {
  const layers = layersOf(nodes, edges)
  for (let sweep = 0; sweep < SWEEPS; sweep++) order(layers, edges, sweep % 2 === 0)
  const tallest = Math.max(0, ...layers.map((layer) => layer.length))
  const heightOf = (count: number) => count * size.height + Math.max(0, count - 1) * size.gapY
  const places = new Map<string, Placed>()
  for (const [column, layer] of layers.entries()) {
    const top = (heightOf(tallest) - heightOf(layer.length)) / 2
    for (const [row, id] of layer.entries()) {
      places.set(id, { x: column * (size.width + size.gapX), y: top + row * (size.height + size.gapY) })
    }
  }
  const width = layers.length * size.width + Math.max(0, layers.length - 1) * size.gapX
  return { places, width, height: heightOf(tallest) }
}

/** Longest path from a node without inputs; a circle ends where it would come back. */
function layersOf(nodes: readonly GraphNode[], edges: readonly GraphEdge[]): string[][] {
  const depth = new Map<string, number>(nodes.map(({ id }) => [id, 0]))
  for (let turn = 0; turn < nodes.length; turn++) {
    let isChanged = false
    for (const { from, to } of edges) {
      const next = (depth.get(from) ?? 0) + 1
      if (!depth.has(to) || (depth.get(to) as number) >= next || next >= nodes.length) continue
      depth.set(to, next)
      isChanged = true
    }
    if (!isChanged) break
  }
  const layers: string[][] = []
  for (const [id, at] of depth) {
    layers[at] ??= []
    layers[at].push(id)
  }
  return layers.filter((layer) => layer !== undefined)
}

function order(layers: string[][], edges: readonly GraphEdge[], isForward: boolean): void {
  const rows = new Map(layers.flatMap((layer) => layer.map((id, row): [string, number] => [id, row / layer.length])))
  const middle = (id: string): number => {
    const near = edges.flatMap(({ from, to }) =>
      isForward ? (to === id ? [rows.get(from) ?? 0] : []) : from === id ? [rows.get(to) ?? 0] : [],
    )
    return near.length === 0 ? (rows.get(id) ?? 0) : near.reduce((sum, row) => sum + row, 0) / near.length
  }
  for (const layer of layers) {
    const middles = new Map(layer.map((id) => [id, middle(id)]))
    layer.sort((a, b) => (middles.get(a) ?? 0) - (middles.get(b) ?? 0))
    for (const [row, id] of layer.entries()) rows.set(id, row / layer.length)
  }
}
