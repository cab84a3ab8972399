/** Errors as answers: RFC 9457 problem details that say what to do and leak nothing. */
import { RtmlError } from '../app/errors.ts'

/** The closed list of problems. `type` is `urn:rtml:problem:<name>`, or the Experience Edge's own where a client knows it. */
export const PROBLEMS = {
  'bad-request': { status: 400, title: 'The request is not valid' },
  'no-primary-identity': {
    status: 400,
    title: 'No primary identity set in request (event)',
    type: 'https://ns.adobe.com/aep/errors/EXEG-0306-400',
  },
  unauthorized: { status: 401, title: 'No valid credentials' },
  forbidden: { status: 403, title: 'Not allowed' },
  'not-found': { status: 404, title: 'Not found' },
  'method-not-allowed': { status: 405, title: 'Method not allowed' },
  timeout: { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'Somebody else has changed it meanwhile' },
  'too-large': { status: 413, title: 'The request is too large' },
  'unsupported-media-type': { status: 415, title: 'Unsupported media type' },
  unprocessable: {
    status: 422,
    title: 'Unprocessable Entity',
    type: 'https://ns.adobe.com/aep/errors/EXEG-0104-422',
  },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Internal error' },
  unavailable: { status: 503, title: 'Not available now' },
} as const satisfies Record<string, { status: number; title: string; type?: string }>

export type ProblemName = keyof typeof PROBLEMS

export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly report: { readonly requestId: string; readonly errors?: readonly string[] }
}

export interface ProblemOptions {
  /** Single faults, such as one a field. */
  readonly errors?: readonly string[]
  readonly retryAfterS?: number
}

/** Thrown by a route: becomes the answer. `detail` is for the caller's eyes. */
export class Problem extends Error {
  readonly problem: ProblemName
  readonly errors: readonly string[] | undefined
  readonly retryAfterS: number | undefined

  constructor(problem: ProblemName, detail: string, options: ProblemOptions = {}) {
    super(detail)
    this.problem = problem
    this.errors = options.errors
    this.retryAfterS = options.retryAfterS
  }

  get statusCode(): number {
    return PROBLEMS[this.problem].status
  }

  body(requestId: string): ProblemBody {
    return problemBody(this.problem, this.message, requestId, this.errors)
  }
}

export function problemBody(
  name: ProblemName,
  detail: string,
  requestId: string,
  errors?: readonly string[],
): ProblemBody {
  const known: { status: number; title: string; type?: string } = PROBLEMS[name]
  const { status, title, type = `urn:rtml:problem:${name}` } = known
  return { type, title, status, detail, report: { requestId, ...(errors ? { errors } : {}) } }
}

const BY_STATUS = new Map<number, ProblemName>([
  ...Object.entries(PROBLEMS).map(([name, { status }]): [number, ProblemName] => [status, name as ProblemName]),
  [400, 'bad-request'],
])

/**
 * What an error of any origin becomes. Texts of our own problems and of the framework's refusals (4xx) are for the
 * caller; everything else is only named: its text goes to the log.
 */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error
  const { statusCode, message } = error as { statusCode?: number; message?: string }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new Problem(BY_STATUS.get(statusCode) ?? 'bad-request', String(message ?? '').slice(0, 500))
  }
  if (error instanceof RtmlError && error.isTransient) {
    return new Problem('unavailable', 'The log, the store or the registry does not answer.', { retryAfterS: 5 })
  }
  return new Problem('internal', 'Something went wrong here. The log has it under the request id.')
}
