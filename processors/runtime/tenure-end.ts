import type { Offset } from '../app/units.ts'

/** Why a tenure ended by itself. */
export type TenureEnd =
  /** A newer owner exists: this worker stops until it is assigned again. */
  | { readonly kind: 'fenced' }
  /** The store moved under us (it lost its tail), or a reply can't be trusted: take over anew. */
  | { readonly kind: 'recover'; readonly reason: string }
  /** A batch failed unexpectedly: take over anew and go record by record up to `until`. */
  | { readonly kind: 'isolate'; readonly until: Offset; readonly error: unknown }
  /** Can't be mended by repeating. */
  | { readonly kind: 'fatal'; readonly error: unknown }
