/** The HTTP API, as the server's own schemas describe it. Credentials go into a header, never into a cookie or an address. */
import { signal } from '@preact/signals'

const STORED = 'rtml.key'

/** API key or token; kept for this tab only. */
export const credential = signal<string | undefined>(sessionStorage.getItem(STORED) ?? undefined)

export function keepCredential(text: string | undefined): void {
  if (text === undefined) sessionStorage.removeItem(STORED)
  else sessionStorage.setItem(STORED, text)
  credential.value = text
}

/** What the API refused, in its own words (RFC 9457). */
export class ApiProblem extends Error {
  readonly status: number
  readonly title: string
  readonly errors: readonly string[]
  readonly requestId: string | undefined

  constructor(status: number, body: Partial<ProblemBody>) {
    super(body.detail ?? `The server answered ${status}.`)
    this.status = status
    this.title = body.title ?? 'Error'
    this.errors = body.report?.errors ?? []
    this.requestId = body.report?.requestId
  }
}

interface ProblemBody {
  readonly title: string
  readonly detail: string
  readonly report: { readonly requestId?: string; readonly errors?: readonly string[] }
}

export const authorization = (): Record<string, string> =>
  credential.value === undefined ? {} : { authorization: `Bearer ${credential.value}` }

/**
 * A request that settles sooner or later.
 * @param body an object: JSON; a file: its bytes
 * @throws ApiProblem; TypeError when the server can't be reached
 */
export async function request(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Response> {
  const answer = await fetch(path, {
    method,
    credentials: 'omit',
    headers: { ...authorization(), ...contentType(body) },
    signal: AbortSignal.any([AbortSignal.timeout(30_000), ...(signal ? [signal] : [])]),
    ...(body === undefined ? {} : { body: body instanceof Blob ? body : JSON.stringify(body) }),
  })
  if (answer.ok) return answer
  throw new ApiProblem(answer.status, (await answer.json().catch(() => ({}))) as Partial<ProblemBody>)
}

function contentType(body: unknown): Record<string, string> {
  if (body === undefined) return {}
  return { 'content-type': body instanceof Blob ? 'application/octet-stream' : 'application/json' }
}

export const get = async <T>(path: string, signal?: AbortSignal): Promise<T> =>
  (await request('GET', path, undefined, signal)).json() as Promise<T>

export const post = async <T>(path: string, body: unknown): Promise<T> =>
  (await request('POST', path, body)).json() as Promise<T>

/** `?a=1&b=2` of what is given. */
export function query(values: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(values).filter((entry): entry is [string, string] => !!entry[1])
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}

/** Saves an answer as a file: a link could carry no credentials. */
export async function download(path: string, name: string): Promise<void> {
  saveAs(await (await request('GET', path)).blob(), name)
}

export function saveAs(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  URL.revokeObjectURL(link.href)
}

/** Lines of an answer as they come. @throws ApiProblem; TypeError when the server can't be reached */
export async function* linesOf(path: string, signal: AbortSignal): AsyncGenerator<string> {
  const { body } = await request('GET', path, undefined, signal)
  if (!body) return
  let rest = ''
  for await (const text of chunks(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

/** Safari iterates no streams. */
export async function* chunks(stream: ReadableStream<string>): AsyncGenerator<string> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
