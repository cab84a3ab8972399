import { setTimeout as pause } from 'node:timers/promises'
import { type Clock, epochMs } from '../../processors/app/units.ts'

export const systemClock: Clock = {
  now: () => epochMs(Date.now()),
  sleep: (duration, signal) => pause(duration, undefined, signal ? { signal } : {}).catch(() => {}),
}
