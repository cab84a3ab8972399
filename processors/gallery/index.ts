/** The gallery's public face: records of the topic `models`, and what they add up to. */
export {
  championOf,
  championsOf,
  currentOf,
  Gallery,
  type GalleryService,
  type GalleryVersion,
  type InitialModel,
  type Routing,
} from './gallery.ts'
export {
  decodeRecord,
  type Encoded,
  encodeRecord,
  type Facts,
  INLINE_BYTES,
  type NewOnnx,
  type NewVersion,
  type Role,
  type RoutingAction,
  VERSION_NAME,
  versionName,
  versionRecords,
} from './records.ts'
export {
  addShadow,
  block,
  type Change,
  type ModelVersion,
  nextShare,
  promote,
  rollback,
  STEPS,
  setDisabled,
  shareOf,
  unblock,
  withRanges,
} from './steps.ts'
