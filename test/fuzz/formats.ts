/** Formats of raw records that a mapping may name. */
export const FORMATS = ['json', 'avro', 'csv', 'tsv', 'snowplow-tsv', 'cloudevents'] as const
