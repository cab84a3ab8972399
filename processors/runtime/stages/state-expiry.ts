import type { Application } from '../../app/schema.ts'
import { type Ms, ms } from '../../app/units.ts'

/** Lag must never make a difference, so the store forgets a state this much later than the kernel would. */
const EXPIRE_MARGIN = 2

/** How long the store keeps an untouched state, in wall time, of an entity that the kernel forgets after `ttl` in event time. */
export const stateExpiry = (app: Application, ttl: Ms): Ms => ms(ttl * EXPIRE_MARGIN + app.events.lateness)
