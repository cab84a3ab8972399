import { readdir, readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { isAnonymous } from '../auth/guard.ts'
import type { Security } from '../auth/security.ts'
import { Problem } from '../problem.ts'
import { sessionAnswer } from '../schemas-operations.ts'
import type { ServerSources } from '../server.ts'
import { answers, type RouteContext } from './route.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/**
 * Only what the edge itself serves runs and is asked; no frame, no form that posts, no base address. Markup can't become
 * script: the page makes none from text, and the browser holds it to that.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ')

const PAGE_HEADERS = {
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'x-frame-options': 'DENY',
}

interface File {
  readonly type: string
  readonly bytes: Buffer
  readonly zipped: Buffer
}

/**
 * The console: files without any data in them, so that a caller without credentials gets as far as the place where a key
 * is asked for. Everything it shows comes from the API, with the key in a header: there is no cookie to be ridden on.
 */
export function consoleRoutes({ server }: RouteContext, sources: ServerSources, security: Security): void {
  let files: Promise<ReadonlyMap<string, File>> | undefined
  const load = (): Promise<ReadonlyMap<string, File>> => {
    files ??= sources.consoleDir().then(filesOf)
    files.catch(() => {
      files = undefined
    })
    return files
  }
  const hidden = { hide: true } as object
  const open = { config: { scope: 'public' as const }, schema: hidden }
  server.get('/', open, async (request, reply) => send(await load(), 'index.html', request, reply))
  server.get<{ Params: { file: string } }>('/assets/:file', open, async (request, reply) =>
    send(await load(), `assets/${request.params.file}`, request, reply),
  )
  server.route({
    method: 'GET',
    url: '/v1/session',
    config: { scope: 'anybody' },
    schema: {
      tags: ['operations'],
      summary: 'Who calls, and what they may do',
      response: answers({ 200: sessionAnswer }),
    },
    handler: async ({ principal }): Promise<z.output<typeof sessionAnswer>> => ({
      authentication: security.mode === 'open' ? 'none' : 'required',
      actor: isAnonymous(principal) ? null : principal.id,
      scopes: [...new Set([...principal.scopes, ...security.anonymous])],
      app: sources.edge?.()?.app.name ?? null,
    }),
  })
}

async function send(
  files: ReadonlyMap<string, File>,
  name: string,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const file = files.get(name)
  if (!file) throw new Problem('not-found', 'There is nothing here.')
  const zips = /\bgzip\b/.test(String(headers['accept-encoding'] ?? ''))
  // Names of assets hold the hash of their content; the page itself is asked for each time.
  const cache = name.startsWith('assets/') ? 'public, max-age=31536000, immutable' : 'no-cache'
  void reply.headers({ ...PAGE_HEADERS, 'cache-control': cache, vary: 'accept-encoding' }).type(file.type)
  if (zips) void reply.header('content-encoding', 'gzip')
  return reply.send(zips ? file.zipped : file.bytes)
}

async function filesOf(dir: string): Promise<ReadonlyMap<string, File>> {
  const found = new Map<string, File>()
  const names = ['index.html', ...(await readdir(join(dir, 'assets'))).map((name) => `assets/${name}`)]
  for (const name of names) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const bytes = await readFile(join(dir, name))
    found.set(name, { type, bytes, zipped: await promisify(gzip)(bytes) })
  }
  return found
}
