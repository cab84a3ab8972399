import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where the main thread's time went. */
export interface ProfileSummary {
  readonly totalMicros: number
  /** Self time by folder of processors, package, or `(program)` and the like; largest first. */
  readonly microsByPlace: Readonly<Record<string, number>>
}

interface CpuProfile {
  readonly nodes: readonly { id: number; callFrame: { functionName: string; url: string } }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Flags of Node that write profiles to `folder`. */
export const profileFlags = (folder: string): string[] => ['--cpu-prof', `--cpu-prof-dir=${folder}`]

/** The process writes one profile a thread; the main thread's is the one that ran our code most. */
export async function summarize(folder: string): Promise<ProfileSummary> {
  await mkdir(folder, { recursive: true })
  const summaries: ProfileSummary[] = []
  for (const file of await readdir(folder))
    summaries.push(summaryOf(JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile))
  const busy = ({ microsByPlace, totalMicros }: ProfileSummary) => totalMicros - (microsByPlace['(idle)'] ?? 0)
  const main = summaries.sort((a, b) => busy(b) - busy(a))[0]
  if (!main) throw new Error(`no profile in ${folder}`)
  return main
}

function summaryOf({ nodes, samples, timeDeltas }: CpuProfile): ProfileSummary {
  const places = new Map(nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
  const micros = new Map<string, number>()
  let total = 0
  for (const [index, sample] of samples.entries()) {
    const place = places.get(sample) ?? '(unknown)'
    const delta = timeDeltas[index] ?? 0
    micros.set(place, (micros.get(place) ?? 0) + delta)
    total += delta
  }
  const sorted = [...micros].sort(([, a], [, b]) => b - a)
  return { totalMicros: total, microsByPlace: Object.fromEntries(sorted) }
}

function placeOf({ functionName, url }: { functionName: string; url: string }): string {
  if (url === '') return functionName === '' ? '(native)' : functionName.startsWith('(') ? functionName : '(native)'
  const ours = /processors\/(engine\/\w+|[\w.-]+)/.exec(url)
  if (ours) return ours[1]!
  const theirs = /node_modules\/((?:@[\w-]+\/)?[\w.-]+)/.exec(url)
  return theirs ? theirs[1]! : url.startsWith('node:') ? 'node' : 'bench'
}
