/** Where each value of a loaded file stands, and which values came from the environment. */

export type Path = readonly (string | number)[]

/** 1-based, columns in UTF-16 code units, as editors count them. */
export interface Position {
  readonly line: number
  readonly col: number
}

/** Something that is wrong with a file, at a path of it. */
export interface Issue {
  readonly path: Path
  /** Point at the key itself (an unknown or duplicate key), not at its value. */
  readonly atKey?: boolean
  readonly message: string
  /** The type that was wanted, when a wrong type is all that is wrong. */
  readonly expected?: string
}

export interface Problem extends Position {
  readonly file: string
  /** Path inside `file`, in dot notation. */
  readonly path: string
  readonly message: string
}

interface Entry {
  readonly key: Position | undefined
  readonly value: Position
}

const START: Position = { line: 1, col: 1 }

const idOf = (path: Path): string => path.join('\u0000')

/** `features.views_1h.window`, `models.m.inputs[2]`, `fields["a b"]`; '' is the whole file. */
function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (/^[A-Za-z_$][\w$-]*$/.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${JSON.stringify(step)}]`
  }
  return text
}

/** `CONFIG rtml.yaml:12:7 features.views_1h.window: "1 hour" is not a duration. Use 1h, 30m or 7d.` */
export function formatProblem(problem: Problem): string {
  return `CONFIG ${placeOf(problem)}: ${problem.message}`
}

export function placeOf({ file, line, col, path }: Problem): string {
  return `${file}:${line}:${col}${path === '' ? '' : ` ${path}`}`
}

/** Positions of one file and of the files that it includes. */
export class SourceMap {
  readonly file: string
  private readonly entries = new Map<string, Entry>()
  private readonly included = new Map<string, { depth: number; map: SourceMap }>()
  private readonly references = new Map<string, string>()

  constructor(file: string) {
    this.file = file
  }

  record(path: Path, value: Position, key?: Position): void {
    this.entries.set(idOf(path), { key, value })
  }

  /** The value at `path` is the content of another file. */
  include(path: Path, map: SourceMap): void {
    this.included.set(idOf(path), { depth: path.length, map })
  }

  /** The value at `path` came from the environment; `text` is what the file says instead, such as `${TOKEN}`. */
  refer(path: Path, text: string): void {
    this.references.set(idOf(path), text)
  }

  /** What the file says at `path` when the value came from the environment. */
  referenceAt(path: Path): string | undefined {
    const [map, rest] = this.resolve(path)
    return map.references.get(idOf(rest))
  }

  /** Paths of all values that came from the environment. */
  *referencePaths(): Iterable<(string | number)[]> {
    for (const id of this.references.keys()) yield id === '' ? [] : id.split('\u0000')
    for (const [id, { map }] of this.included) {
      for (const path of map.referencePaths()) yield [...id.split('\u0000'), ...path]
    }
  }

  /** Position of the value at `path`, or of the nearest thing around it that the file has. */
  problem(issue: Issue): Problem {
    const [map, path] = this.resolve(issue.path)
    return {
      file: map.file,
      ...map.position(path, issue.atKey === true),
      path: formatPath(path),
      message: issue.message,
    }
  }

  /** `rtml.yaml:12:7`: for messages of later checks that know a path of the application. */
  place(path: Path): string {
    const { file, line, col } = this.problem({ path, message: '' })
    return `${file}:${line}:${col}`
  }

  private resolve(path: Path): [SourceMap, Path] {
    for (let depth = path.length; depth > 0; depth--) {
      const found = this.included.get(idOf(path.slice(0, depth)))
      if (found) return found.map.resolve(path.slice(depth))
    }
    return [this, path]
  }

  private position(path: Path, atKey: boolean): Position {
    const entry = this.entries.get(idOf(path))
    if (entry) return atKey ? (entry.key ?? entry.value) : entry.value
    for (let depth = path.length - 1; depth >= 0; depth--) {
      const around = this.entries.get(idOf(path.slice(0, depth)))
      // Something missing: the key of the map that lacks it is the line to look at.
      if (around) return around.key ?? around.value
    }
    return START
  }
}
