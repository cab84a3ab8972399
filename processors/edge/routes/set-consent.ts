/** `setConsent` of the Web SDK: what a person says about being observed, kept with the profile through the log. */
import type { FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { epochMs } from '../../app/units.ts'
import { IDENTITIES_MAX } from '../../outputs/index.ts'
import { consentRecord } from '../../runtime/stages/consents.ts'
import { parseRfc3339 } from '../../xdm/index.ts'
import { collectPreference } from '../consent.ts'
import { cookieName, IDENTITY_MAX_AGE_S, identityCookie } from '../ecid.ts'
import type { Edge } from '../edge.ts'
import { forget } from '../forgetting.ts'
import { profileTopic } from '../profile-reader.ts'
import { consentBody, handleAnswer, serverQuery, webQuery } from '../schemas.ts'
import {
  acknowledged,
  datastreamOf,
  deviceOf,
  EDGE_BODY_BYTES,
  type EdgeQuery,
  type EdgeRequest,
  type Handle,
  HINT_PARAMS,
  offerRecords,
  requestIdOf,
} from './experience-edge.ts'
import { answers, inputOf, type RouteContext } from './route.ts'

type Body = z.output<typeof consentBody>
type ConsentRequest = EdgeRequest & FastifyRequest<{ Querystring: EdgeQuery; Body: Body }>

/** 180 days: the SDK's own. */
const CONSENT_MAX_AGE_S = 15_552_000

export function setConsentRoutes({ server, edge }: RouteContext): void {
  for (const hint of ['', '/:locationHint']) {
    for (const version of ['v1', 'v2'] as const) {
      server.route({
        method: 'POST',
        url: `/ee${hint}/${version}/privacy/set-consent`,
        bodyLimit: EDGE_BODY_BYTES,
        config: { scope: 'collect' },
        schema: {
          ...(hint === '' ? {} : { params: HINT_PARAMS }),
          querystring: inputOf(version === 'v2' ? serverQuery : webQuery),
          tags: ['experience edge'],
          summary: 'What a person says about being observed; answered when the log has it',
          body: inputOf(consentBody),
          response: answers({ 200: handleAnswer }, [413, 415, 422]),
        },
        handler: (request) => setConsent(edge(), request as ConsentRequest, version),
      })
    }
  }
}

async function setConsent(edge: Edge, request: ConsentRequest, version: 'v1' | 'v2') {
  datastreamOf(edge, request)
  const { organization } = edge.app.edge
  const said = collectPreference(request.body.consent)
  const device = deviceOf(edge, request, version)
  const now = edge.clock.now()
  const stored: { key: string; value: string; maxAge: number }[] = []
  if (device !== undefined) {
    const value = identityCookie(device, now)
    stored.push({ key: cookieName(organization, 'identity'), value, maxAge: IDENTITY_MAX_AGE_S })
  }
  if (said) {
    // A clock that is wrong must not have the last word for years.
    const at = epochMs(Math.min(now, said.at === undefined ? now : parseRfc3339(said.at) || now))
    const keys = [...new Set(identitiesOf(request.body, device).map((it) => edge.keyOf(it)))].filter(isKey)
    const topic = profileTopic(edge.plan)
    if (keys.length > 0) {
      await acknowledged(
        offerRecords(
          edge,
          keys.map((key) => consentRecord(topic, key, { val: said.val, at })),
        ),
      )
    }
    if (said.val === 'n') for (const key of keys) forget(edge, key)
    const value = said.val === 'y' ? 'general=in' : 'general=out'
    stored.push({ key: cookieName(organization, 'consent'), value, maxAge: CONSENT_MAX_AGE_S })
  }
  const handle: Handle[] = []
  if (device !== undefined)
    handle.push({ type: 'identity:result', payload: [{ id: device, namespace: { code: 'ECID' } }] })
  if (stored.length > 0) handle.push({ type: 'state:store', payload: stored })
  return { requestId: requestIdOf(request), handle }
}

const isKey = (key: string | undefined): key is string => key !== undefined

/** Identities that the request names, and the device's. */
function identitiesOf({ identityMap = {} }: Body, device: string | undefined): { namespace: string; id: string }[] {
  const named = Object.entries(identityMap).flatMap(([namespace, list]) =>
    (Array.isArray(list) ? list : []).flatMap((it: { id?: unknown } | null) =>
      typeof it?.id === 'string' ? [{ namespace, id: it.id }] : [],
    ),
  )
  const all = device === undefined ? named : [...named, { namespace: 'ECID', id: device }]
  return all.slice(0, IDENTITIES_MAX)
}
