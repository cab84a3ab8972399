export interface Event {
  /** Unique id of the event; a second event with the same id has no effect */
  _id: string
  /** When it happened, in UTC */
  timestamp: string
  /** Kind of event, case-sensitive; the standard values are listed under eventTypes, others are allowed */
  eventType?: string
  /** Events of one sending share it */
  eventMergeId?: string
  /** What made the event: self, system, salesRef, customerRep */
  producedBy?: string
  /** Identities of the visitor by namespace */
  identityMap?: Record<string, EventIdentity[]>
  productListItems?: EventProductListItem[]
  commerce?: EventCommerce
  order?: EventEventOrder
  store?: EventEventStore
  billing?: EventBilling
  shipping?: EventShipping
  web?: EventEventWeb
  environment?: EventEventEnvironment
  device?: EventEventDevice
  placeContext?: EventEventPlaceContext
  channel?: EventEventChannel
  marketing?: EventEventMarketing
  directMarketing?: EventEventDirectMarketing
  application?: EventEventApplication
  search?: EventEventSearch
  siteSearch?: EventEventSiteSearch
  searchRequest?: EventMeasure
  searchResponse?: EventMeasure
  segmentMemberships?: EventSegmentMembershipItem[]
  /** Segments by namespace and segment id */
  segmentMembership?: Record<string, Record<string, EventSegmentMembershipItem>>
  endUserIDs?: EventEventEndUserIDs
  userAccount?: EventEventUserAccount
  mediaCollection?: EventMediaDetails
  mediaReporting?: EventMediaDetails
  mediaDownloadedEvents?: EventMediaEvent[]
  consents?: EventEventConsents
  consentStrings?: EventConsentString[]
  implementationDetails?: EventEventImplementationDetails
  /** The tenant's own fields */
  _shop?: EventTenant
}

export interface EventIdentity {
  /** Identifier of the visitor within the namespace */
  id: string
  /** Whether the visitor had proved this identity at the time */
  authenticatedState?: 'ambiguous' | 'authenticated' | 'loggedOut'
  /** The identity that keys the event; at most one in the whole map */
  primary?: boolean
}

export interface EventProductListItem {
  /** The seller's id of the product; text, so that leading zeros stay */
  SKU: string
  /** Id of this line */
  _id?: string
  /** XDM id of the product */
  product?: string
  /** Name as the visitor saw it */
  name?: string
  productImageUrl?: string
  /** How the product came into the list */
  productAddMethod?: string
  /** ISO 4217 code */
  currencyCode?: string
  /** Units of the product */
  quantity?: number
  /** Price of the line: unit price times quantity */
  priceTotal?: number
  selectedOptions?: EventSelectedOption[]
  discountAmount?: number
  refundAmount?: number
  productCategories?: EventCategory[]
  returnItem?: EventReturnItem
}

export interface EventSelectedOption {
  attribute: string
  value: string
}

export interface EventCategory {
  categoryID?: string
  categoryName?: string
  categoryPath?: string
}

export interface EventReturnItem {
  returnStatus?: string
  returnReason?: string
  returnItemCondition?: string
  returnResolution?: string
  returnQuantityRequested?: number
  returnQuantityAuthorized?: number
  /** Misspelt twin of returnQuantityAuthorized, kept because events carry it */
  returnQuanitityAuthorized?: number
  returnQuantityReceived?: number
  returnQuantityApproved?: number
}

export interface EventCommerce {
  order?: EventOrder
  promotionID?: string
  cartAbandons?: EventMeasure
  /** A step of the checkout */
  checkouts?: EventMeasure
  /** Product added to a list such as the cart */
  productListAdds?: EventMeasure
  /** New list (cart) made */
  productListOpens?: EventMeasure
  /** Product taken out of a list */
  productListRemovals?: EventMeasure
  /** Abandoned list made active again */
  productListReopens?: EventMeasure
  /** List of products seen */
  productListViews?: EventMeasure
  /** Product seen */
  productViews?: EventMeasure
  /** Order accepted */
  purchases?: EventMeasure
  /** Product put on a wish list */
  saveForLaters?: EventMeasure
  inStorePurchase?: EventMeasure
  instantPurchase?: EventMeasure
  cart?: EventCommerceCart
  shipping?: EventShipping
  billing?: EventBilling
  requisitionListOpens?: EventMeasure
  requisitionListDeletes?: EventMeasure
  requisitionListAdds?: EventMeasure
  requisitionListRemovals?: EventMeasure
  requisitionList?: EventCommerceRequisitionList
  commerceScope?: EventCommerceCommerceScope
}

export interface EventOrder {
  /** The seller's id of the purchase */
  purchaseID?: string
  /** The buyer's id of the purchase */
  purchaseOrderNumber?: string
  payments?: EventPayment[]
  refunds?: EventRefund[]
  returns?: EventReturn
  /** ISO 4217 code */
  currencyCode?: string
  taxAmount?: number
  discountAmount?: number
  /** Total after discounts and taxes */
  priceTotal?: number
  orderType?: 'checkout' | 'instant_purchase'
  lastUpdatedDate?: string
  createdDate?: string
  cancelDate?: string
  refundTotal?: number
}

export interface EventPayment {
  transactionID?: string
  paymentAmount?: number
  /** cash, credit_card, paypal, gift_card and so on */
  paymentType?: string
  /** ISO 4217 code */
  currencyCode?: string
}

export interface EventRefund {
  transactionID?: string
  refundAmount?: number
  refundReason?: 'return' | 'price_adjustment'
  refundPaymentType?: 'cash' | 'credit_card' | 'debit_card' | 'gift_card' | 'check' | 'paypal' | 'wire_transfer' | 'credit_card_reference' | 'other'
  /** ISO 4217 code */
  currencyCode?: string
}

export interface EventReturn {
  returnID?: string
  returnStatus?: string
  purchaseID?: string
}

export interface EventMeasure {
  /** Unique id of this measurement */
  id?: string
  /** How much or how many; 1 for one occurrence */
  value: number
}

export interface EventCommerceCart {
  cartID?: string
  cartSource?: string
}

export interface EventShipping {
  shippingMethod?: string
  shippingAmount?: number
  /** ISO 4217 code */
  currencyCode?: string
  shippingDestination?: 'home' | 'store'
  shipDate?: string
  address?: EventAddress
  trackingNumber?: number
  trackingURL?: string
}

export interface EventAddress {
  _id?: string
  _schema?: EventAddressSchema
  /** ISO 3166-1 alpha-2 code */
  countryCode?: string
  stateProvince?: string
  city?: string
  postalCode?: string
  dmaID?: number
  msaID?: number
  primary?: boolean
  /** Free name of the address */
  label?: string
  street1?: string
  street2?: string
  street3?: string
  street4?: string
  region?: string
  postOfficeBox?: string
  country?: string
  state?: string
  status?: string
  statusReason?: string
  lastVerifiedDate?: string
  repositoryCreatedBy?: string
  repositoryLastModifiedBy?: string
  createdByBatchID?: string
  modifiedByBatchID?: string
}

export interface EventAddressSchema {
  description?: string
  latitude?: number
  longitude?: number
  elevation?: number
}

export interface EventBilling {
  address?: EventAddress
}

export interface EventCommerceRequisitionList {
  ID?: string
  name?: string
  description?: string
}

export interface EventCommerceCommerceScope {
  environmentID?: string
  websiteCode?: string
  storeCode?: string
  storeViewCode?: string
}

export interface EventEventOrder {
  orderID?: string
  orderDate?: string
  priceTotal?: number
  payment?: EventEventOrderPayment
}

export interface EventEventOrderPayment {
  transactionID?: string
  paymentType?: 'credit' | 'debit' | 'gift' | 'cash'
  paymentAmount?: number
  /** ISO 4217 code */
  currencyCode?: string
}

export interface EventEventStore {
  storeID?: string
}

export interface EventEventWeb {
  webPageDetails?: EventEventWebWebPageDetails
  webInteraction?: EventEventWebWebInteraction
  webReferrer?: EventEventWebWebReferrer
}

export interface EventEventWebWebPageDetails {
  /** Name of the page */
  name?: string
  /** Address of the page */
  URL?: string
  /** Host that served the page */
  server?: string
  siteSection?: string
  /** View inside a single-page application */
  viewName?: string
  isErrorPage?: boolean
  isHomePage?: boolean
  isPreRendered?: boolean
  pageViews?: EventMeasure
}

export interface EventEventWebWebInteraction {
  type?: 'download' | 'exit' | 'other'
  URL?: string
  name?: string
  /** Part of the page that held the link */
  region?: string
  linkClicks?: EventMeasure
}

export interface EventEventWebWebReferrer {
  URL?: string
  type?: 'internal' | 'external' | 'search_engine' | 'typed_bookmarked' | 'email' | 'social' | 'usenet' | 'hard_drive' | 'nojs' | 'conversational_ai' | 'unknown'
}

export interface EventEventEnvironment {
  type?: 'browser' | 'application' | 'iot' | 'external' | 'widget'
  browserDetails?: EventEventEnvironmentBrowserDetails
  operatingSystem?: string
  operatingSystemVersion?: string
  operatingSystemVendor?: string
  /** Bits */
  colorDepth?: number
  /** Pixels */
  viewportHeight?: number
  /** Pixels */
  viewportWidth?: number
  duration?: number
  viewedScreen?: string
  previousScreen?: string
  connectionType?: 'dialup' | 'isdn' | 'bisdn' | 'dsl' | 'cable' | 'wireless_wifi' | 'mobile' | 'mobile_edge' | 'mobile_gprs' | 'mobile_2g' | 'mobile_3g' | 'mobile_lte' | 't1' | 't3' | 'oc3' | 'lan' | 'modem'
  proxyType?: 'anonymous' | 'consumer-privacy' | 'corporate' | 'edu' | 'public' | 'cloud' | 'cloud-security' | 'dns' | 'vpn' | 'transparent'
  carrier?: string
  domain?: string
  ISP?: string
  ipV4?: string
  ipV6?: string
  _dc?: EventEventEnvironmentDc
}

export interface EventEventEnvironmentBrowserDetails {
  name?: string
  vendor?: string
  version?: string
  acceptLanguage?: string
  cookiesEnabled?: boolean
  javaScriptEnabled?: boolean
  javaScriptVersion?: string
  javaEnabled?: boolean
  javaVersion?: string
  quicktimeVersion?: string
  thirdPartyCookiesEnabled?: boolean
  /** Pixels */
  viewportHeight?: number
  /** Pixels */
  viewportWidth?: number
  userAgent?: string
  userAgentClientHints?: EventEventEnvironmentBrowserDetailsUserAgentClientHints
}

export interface EventEventEnvironmentBrowserDetailsUserAgentClientHints {
  brands?: EventBrand[]
  mobile?: boolean
  architecture?: string
  bitness?: string
  model?: string
  platform?: string
  platformVersion?: string
  wow64?: boolean
}

export interface EventBrand {
  brand?: string
  version?: string
}

export interface EventEventEnvironmentDc {
  /** BCP 47 language tag */
  language?: string
}

export interface EventEventDevice {
  typeID?: string
  /** Namespace of typeID */
  typeIDService?: string
  /** mobile, tablet, desktop, ereader, gaming, television, settop, mediaplayer, computers */
  type?: string
  manufacturer?: string
  model?: string
  modelNumber?: string
  /** Pixels */
  screenHeight?: number
  /** Pixels */
  screenWidth?: number
  /** Bits */
  colorDepth?: number
  screenOrientation?: 'portrait' | 'landscape'
  isBackgroundPushEnabled?: boolean
  isLocationEnabled?: boolean
  locationPermission?: 'SYSTEM_LOCATION_DISABLED' | 'NOT_ALLOWED' | 'ALWAYS_ALLOWED' | 'FOREGROUND_ALLOWED' | 'UNPROMPTED'
  isPushOptIn?: boolean
}

export interface EventEventPlaceContext {
  /** Local time of the visitor, kept as the instant in UTC */
  localTime?: string
  IPLocalTime?: string
  ianaTimezone?: string
  /** Minutes from UTC */
  localTimezoneOffset?: number
  /** Minutes from UTC */
  IPLocalTimezoneOffset?: number
  geo?: EventGeo
  POIinteraction?: EventEventPlaceContextPOIinteraction
  activePOIs?: EventPointOfInterest[]
}

export interface EventGeo {
  _id?: string
  _schema?: EventGeoSchema
  /** ISO 3166-1 alpha-2 code */
  countryCode?: string
  /** ISO 3166-2 code, with or without the country */
  stateProvince?: string
  city?: string
  postalCode?: string
  /** Nielsen designated market area */
  dmaID?: number
  /** Metropolitan statistical area (US) */
  msaID?: number
}

export interface EventGeoSchema {
  description?: string
  /** Degrees, WGS 84 */
  latitude?: number
  /** Degrees, WGS 84 */
  longitude?: number
  /** Metres above the reference ellipsoid */
  elevation?: number
}

export interface EventEventPlaceContextPOIinteraction {
  POIDetail?: EventPointOfInterest
  poiDetail?: EventPointOfInterest
  poiEntries?: EventMeasure
  poiExits?: EventMeasure
}

export interface EventPointOfInterest {
  POIID?: string
  poiID?: string
  name?: string
  category?: string
  type?: string
  distanceToPOICenter?: number
  locatingType?: string
  beaconInteractionDetails?: EventBeaconInteraction
  geoInteractionDetails?: EventPointOfInterestGeoInteractionDetails
  metadata?: EventPointOfInterestMetadata
}

export interface EventBeaconInteraction {
  proximityUUID?: string
  beaconMajor?: number
  beaconMinor?: number
  proximity?: 'immediate' | 'near' | 'far' | 'unknown'
}

export interface EventPointOfInterestGeoInteractionDetails {
  distanceToCenter?: number
  deviceGeoAccuracy?: number
  geoShape?: EventGeoShape
}

export interface EventGeoShape {
  _id?: string
  _schema?: EventGeoShapeSchema
  ceiling?: number
}

export interface EventGeoShapeSchema {
  description?: string
  polygon?: EventGeoPoint[]
  circle?: EventGeoCircle
  box?: EventGeoPoint[]
  elevation?: number
}

export interface EventGeoPoint {
  _id?: string
  _schema?: EventGeoPointSchema
}

export interface EventGeoPointSchema {
  description?: string
  latitude?: number
  longitude?: number
  elevation?: number
}

export interface EventGeoCircle {
  _id?: string
  _schema?: EventGeoCircleSchema
}

export interface EventGeoCircleSchema {
  description?: string
  coordinates?: EventGeoPoint
  radius?: number
}

export interface EventPointOfInterestMetadata {
  list?: EventKeyValue[]
}

export interface EventKeyValue {
  key?: string
  value?: string
}

export interface EventEventChannel {
  _id: string
  _type?: string
  typeAtSource?: string
  mode?: 'push' | 'pull' | 'bidirectional'
  mediaType?: string
  mediaAction?: string
  contentTypes?: string[]
  metricTypes?: string[]
  locationTypes?: string[]
  referringSource?: string
}

export interface EventEventMarketing {
  trackingCode?: string
  campaignName?: string
  campaignGroup?: string
}

export interface EventEventDirectMarketing {
  sends?: EventMeasure
  emailDelivered?: EventMeasure
  opens?: EventMeasure
  clicks?: EventMeasure
  offerOpens?: EventMeasure
  impressions?: EventMeasure
  bounces?: EventMeasure
  nonDeliverables?: EventMeasure
  notSent?: EventMeasure
  excludes?: EventMeasure
  mirrorPages?: EventMeasure
  unsubscriptions?: EventMeasure
  userComplaints?: EventMeasure
  customActions?: EventMeasure
  marketingSubscription?: EventMeasure
  unsubscribeReason?: string
  hashedEmail?: string
  emailVisitorID?: string
  messageID?: string
}

export interface EventEventApplication {
  id?: string
  name?: string
  version?: string
  applicationCloses?: EventMeasure
  crashes?: EventMeasure
  featureUsages?: EventMeasure
  installs?: EventMeasure
  firstLaunches?: EventMeasure
  launches?: EventMeasure
  upgrades?: EventMeasure
  isClose?: boolean
  closeType?: 'close' | 'unknown'
  isLaunch?: boolean
  isInstall?: boolean
  isUpgrade?: boolean
  /** Seconds */
  sessionLength?: number
  userPerspective?: 'foreground' | 'background' | 'detached'
  _dc?: EventEventApplicationDc
}

export interface EventEventApplicationDc {
  /** BCP 47 language tag */
  language?: string
}

export interface EventEventSearch {
  searchEngine?: string
  searchEngineID?: string
  keywords?: string
  isPaid?: boolean
  pageDepth?: number
  slot?: string
  position?: number
}

export interface EventEventSiteSearch {
  /** What the visitor searched for on the site */
  query?: string
  filter?: EventSearchFilter[]
  sort?: EventSearchSort[]
  suggestions?: string[]
  numberOfResults?: number
}

export interface EventSearchFilter {
  attribute?: string
  value?: string[]
  isRange?: boolean
}

export interface EventSearchSort {
  attribute?: string
  order?: 'ASC' | 'DESC' | 'RELEVANCE'
}

export interface EventSegmentMembershipItem {
  segmentID?: EventSegmentMembershipItemSegmentID
  /** Version of the segment definition */
  version?: string
  /** When the profile last entered or left */
  lastQualificationTime?: string
  validUntil?: string
  /** realized: is a member; exited: no longer; existing: older spelling of realized */
  status?: 'existing' | 'realized' | 'exited'
  payload?: EventSegmentMembershipItemPayload
  profileStitchID?: EventSegmentMembershipItemProfileStitchID
  timerSpec?: string
}

export interface EventSegmentMembershipItemSegmentID {
  _id?: string
  namespace?: EventNamespace
  xid?: string
}

export interface EventNamespace {
  /** Symbol of the identity namespace, such as ECID */
  code: string
}

export interface EventSegmentMembershipItemPayload {
  payloadType: 'boolean' | 'number' | 'propensity' | 'string'
  payloadBooleanValue?: boolean
  payloadNumberValue?: number
  payloadPropensityValue?: number
  payloadStringValue?: string
}

export interface EventSegmentMembershipItemProfileStitchID {
  _id?: string
  namespace?: EventNamespace
  xid?: string
}

export interface EventEventEndUserIDs {
  _experience?: EventEventEndUserIDsExperience
}

export interface EventEventEndUserIDsExperience {
  /** Experience Cloud id (ECID) */
  mcid?: EventEndUserIdentity
  /** Analytics visitor id */
  aaid?: EventEndUserIdentity
  /** Analytics custom visitor id */
  aacustomid?: EventEndUserIdentity
  acid?: EventEndUserIdentity
  /** Target id */
  tntid?: EventEndUserIdentity
  adcloud?: EventEndUserIdentity
  emailid?: EventEndUserIdentity
  phonenumberid?: EventEndUserIdentity
}

export interface EventEndUserIdentity {
  _id?: string
  /** Identifier within the namespace */
  id?: string
  /** Global identifier over namespaces */
  xid?: string
  namespace?: EventNamespace
  authenticatedState?: 'ambiguous' | 'authenticated' | 'loggedOut'
  primary?: boolean
}

export interface EventEventUserAccount {
  login?: number
  loginFailure?: number
  loginLocation?: string
  loginStatus?: string
  loginType?: string
  loginBiometric?: boolean
  loginKeychain?: boolean
  loginMultiFactor?: boolean
  loginThirdParty?: number
  loginThirdPartySite?: string
  logout?: number
  createProfile?: number
  updateProfile?: number
  resetPassword?: number
  forgotPassword?: number
  forgotUsername?: number
  sessionTimeout?: number
  accountSwitch?: number
  cookieConsentAccepted?: boolean
  cookieConsentViewed?: number
}

export interface EventMediaDetails {
  /** Position in the content, seconds */
  playhead?: number
  sessionID?: string
  sessionDetails?: EventMediaDetailsSessionDetails
  advertisingDetails?: EventMediaDetailsAdvertisingDetails
  advertisingPodDetails?: EventMediaDetailsAdvertisingPodDetails
  chapterDetails?: EventMediaDetailsChapterDetails
  errorDetails?: EventMediaDetailsErrorDetails
  qoeDataDetails?: EventMediaDetailsQoeDataDetails
  statesStart?: EventPlayerState[]
  statesEnd?: EventPlayerState[]
  states?: EventPlayerState[]
  customMetadata?: EventNameValue[]
}

export interface EventMediaDetailsSessionDetails {
  ID?: string
  name: string
  friendlyName?: string
  /** Seconds; 86400 for live content */
  length: number
  contentType: string
  playerName?: string
  channel?: string
  appVersion?: string
  show?: string
  season?: string
  episode?: string
  assetID?: string
  genre?: string
  genreList?: string[]
  firstAirDate?: string
  firstDigitalDate?: string
  rating?: string
  originator?: string
  network?: string
  showType?: string
  adLoad?: string
  mvpd?: string
  authorized?: string
  dayPart?: string
  feed?: string
  streamFormat?: string
  hasResume?: boolean
  streamType?: 'video' | 'audio'
  artist?: string
  album?: string
  label?: string
  author?: string
  station?: string
  publisher?: string
  segment?: string
  isDownloaded?: boolean
  isFederated?: boolean
  isViewed?: boolean
  isPlayed?: boolean
  isCompleted?: boolean
  timePlayed?: number
  totalTimePlayed?: number
  scheduleTimePlayed?: number
  uniqueTimePlayed?: number
  averageMinuteAudience?: number
  adCount?: number
  chapterCount?: number
  hasProgress10?: boolean
  hasProgress25?: boolean
  hasProgress50?: boolean
  hasProgress75?: boolean
  hasProgress95?: boolean
  estimatedStreams?: number
  hasPauseImpactedStreams?: boolean
  pauseCount?: number
  pauseTime?: number
  hasSegmentView?: boolean
  secondsSinceLastCall?: number
  cdn?: string
  pev3?: 'video' | 'videoAd' | 'audio' | 'audioAd'
  pccr?: boolean
  dataIngestionSource?: string
}

export interface EventMediaDetailsAdvertisingDetails {
  friendlyName?: string
  name: string
  length: number
  podPosition: number
  playerName?: string
  advertiser?: string
  campaignID?: string
  creativeID?: string
  siteID?: string
  creativeURL?: string
  placementID?: string
  isCompleted?: boolean
  isStarted?: boolean
  timePlayed?: number
}

export interface EventMediaDetailsAdvertisingPodDetails {
  ID?: string
  friendlyName?: string
  index?: number
  offset?: number
}

export interface EventMediaDetailsChapterDetails {
  friendlyName?: string
  length?: number
  offset?: number
  index?: number
  ID?: string
  isStarted?: boolean
  isCompleted?: boolean
  timePlayed?: number
}

export interface EventMediaDetailsErrorDetails {
  name: string
  source: 'player' | 'external'
}

export interface EventMediaDetailsQoeDataDetails {
  bitrateAverageBucket?: string
  bitrate?: number
  bitrateAverage?: number
  hasBitrateChangeImpactedStreams?: boolean
  bitrateChangeCount?: number
  hasDroppedFrameImpactedStreams?: boolean
  droppedFrames?: number
  isDroppedBeforeStart?: boolean
  framesPerSecond?: number
  timeToStart?: number
  hasBufferImpactedStreams?: boolean
  bufferCount?: number
  bufferTime?: number
  hasErrorImpactedStreams?: boolean
  errorCount?: number
  hasStallImpactedStreams?: boolean
  stallCount?: number
  stallTime?: number
  playerSdkErrors?: string[]
  externalErrors?: string[]
  mediaSdkErrors?: string[]
}

export interface EventPlayerState {
  name: string
  isSet?: boolean
  count?: number
  time?: number
}

export interface EventNameValue {
  name?: string
  value?: string
}

export interface EventMediaEvent {
  mediaCollection?: EventMediaDetails
  mediaEventTimestamp?: string
  mediaEventType?: string
}

export interface EventEventConsents {
  /** Whether data may be collected at all */
  collect?: EventConsentField
  share?: EventConsentField
  adID?: EventEventConsentsAdID
  personalize?: EventEventConsentsPersonalize
  marketing?: EventEventConsentsMarketing
  metadata?: EventEventConsentsMetadata
}

export interface EventConsentField {
  /** y yes, n no, p pending, u unknown, dy / dn default yes / no, LI legitimate interest, CT contract, CP compliance, VI vital interest, PI public interest */
  val: 'y' | 'n' | 'p' | 'u' | 'dy' | 'dn' | 'LI' | 'CT' | 'CP' | 'VI' | 'PI'
}

export interface EventEventConsentsAdID {
  /** y yes, n no, p pending, u unknown, dy / dn default yes / no, LI legitimate interest, CT contract, CP compliance, VI vital interest, PI public interest */
  val: 'y' | 'n' | 'p' | 'u' | 'dy' | 'dn' | 'LI' | 'CT' | 'CP' | 'VI' | 'PI'
  idType?: 'IDFA' | 'GAID'
}

export interface EventEventConsentsPersonalize {
  content?: EventConsentField
}

export interface EventEventConsentsMarketing {
  preferred?: 'email' | 'push' | 'inApp' | 'sms' | 'whatsApp' | 'phone' | 'phyMail' | 'inVehicle' | 'inHome' | 'iot' | 'social' | 'other' | 'none' | 'unknown'
  any?: EventMarketingConsent
  email?: EventSubscribableConsent
  push?: EventSubscribableConsent
  sms?: EventSubscribableConsent
  whatsApp?: EventSubscribableConsent
  call?: EventMarketingConsent
  fax?: EventMarketingConsent
  commercialEmail?: EventMarketingConsent
  postalMail?: EventMarketingConsent
}

export interface EventMarketingConsent {
  /** y yes, n no, p pending, u unknown, dy / dn default yes / no, LI legitimate interest, CT contract, CP compliance, VI vital interest, PI public interest */
  val: 'y' | 'n' | 'p' | 'u' | 'dy' | 'dn' | 'LI' | 'CT' | 'CP' | 'VI' | 'PI'
  time?: string
  reason?: string
}

export interface EventSubscribableConsent {
  /** y yes, n no, p pending, u unknown, dy / dn default yes / no, LI legitimate interest, CT contract, CP compliance, VI vital interest, PI public interest */
  val: 'y' | 'n' | 'p' | 'u' | 'dy' | 'dn' | 'LI' | 'CT' | 'CP' | 'VI' | 'PI'
  time?: string
  reason?: string
  subscriptions?: Record<string, EventSubscription>
}

export interface EventSubscription {
  /** y yes, n no, p pending, u unknown, dy / dn default yes / no, LI legitimate interest, CT contract, CP compliance, VI vital interest, PI public interest */
  val?: 'y' | 'n' | 'p' | 'u' | 'dy' | 'dn' | 'LI' | 'CT' | 'CP' | 'VI' | 'PI'
  type?: string
  topics?: string[]
  subscribers?: Record<string, EventSubscriber>
}

export interface EventSubscriber {
  time?: string
  source?: string
}

export interface EventEventConsentsMetadata {
  time?: string
}

export interface EventConsentString {
  consentStandard?: string
  consentStandardVersion?: string
  consentStringValue?: string
  gdprApplies: boolean
  containsPersonalData?: boolean
}

export interface EventEventImplementationDetails {
  name?: string
  version?: string
  environment?: 'browser' | 'app' | 'server' | 'iot'
}

export interface EventTenant {
  /** The source's own name of the event */
  sourceEvent?: string
  /** Offers that the visitor has seen, <decision>/<offer>: from decisioning.propositionDisplay */
  displayed?: string[]
  /** Offers that the visitor has used, <decision>/<offer>: from decisioning.propositionInteract */
  interacted?: string[]
  /** JSON of an event that no mapping knows */
  payload?: string
  loyalty?: string
  score?: EventTenantScore
  member?: boolean
  tags?: string[]
  weights?: number[]
  labels?: Record<string, string>
  odds?: Record<string, number>
}

export interface EventTenantScore {
  value?: number
  rank?: number
  at?: string
}
