/** What `setConsent` of the Web SDK sends, read. Sources: adobe/alloy, Privacy component; XDM Consents and Preferences. */
import { z } from 'zod'

const time = z.string().max(40).optional()
const adobe1 = z.looseObject({
  standard: z.literal('Adobe'),
  version: z.literal('1.0'),
  value: z.looseObject({ general: z.enum(['in', 'out', 'pending']) }),
})
const adobe2 = z.looseObject({
  standard: z.literal('Adobe'),
  version: z.string().regex(/^2\./),
  value: z.looseObject({
    collect: z.looseObject({ val: z.string().max(2) }).optional(),
    metadata: z.looseObject({ time }).optional(),
  }),
})
/** IAB TCF and others: taken, and without effect here. */
const other = z.looseObject({ standard: z.string().max(64), version: z.string().max(16) })

/** Preferences of one request; the last one that says yes or no counts. */
const PREFERENCES_MAX = 10
export const consentPreferences = z
  .array(z.union([adobe1, adobe2, other]))
  .min(1)
  .max(PREFERENCES_MAX)

/** @returns what they say about collecting, and when it was said; undefined when they say nothing of it */
export function collectPreference(
  preferences: z.output<typeof consentPreferences>,
): { val: 'y' | 'n'; at: string | undefined } | undefined {
  let said: { val: 'y' | 'n'; at: string | undefined } | undefined
  for (const preference of preferences) {
    const first = adobe1.safeParse(preference).data
    if (first && first.value.general !== 'pending') {
      said = { val: first.value.general === 'in' ? 'y' : 'n', at: undefined }
      continue
    }
    const second = adobe2.safeParse(preference).data
    const val = second?.value.collect?.val
    if (val === 'y' || val === 'n') said = { val, at: second?.value.metadata?.time }
  }
  return said
}
