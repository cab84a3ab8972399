import { composeSchema, type XdmSchema } from '../../../processors/xdm/index.ts'

/** All field groups and tenant fields of each notation. */
export const schema: XdmSchema = composeSchema({
  tenant: '_shop',
  fields: {
    loyalty: 'string',
    'score.value': 'number',
    'score.rank': 'integer',
    'score.at': 'date-time',
    member: 'boolean',
    tags: 'string[]',
    weights: 'number[]',
    labels: 'map<string>',
    odds: 'map<number>',
  },
})
