import { analyticsFunctions } from './analytics.ts'
import { arrayFunctions } from './arrays.ts'
import { celFunctions } from './cel.ts'
import { conversionFunctions } from './conversions.ts'
import { dateFunctions } from './dates.ts'
import { hashFunctions } from './hashes.ts'
import { identifierFunctions } from './identifiers.ts'
import { objectFunctions } from './objects.ts'
import { regexFunctions } from './regex.ts'
import type { FunctionReference, FunctionSpec } from './spec.ts'
import { textFunctions } from './text.ts'
import { urlFunctions } from './urls.ts'
import { userAgentFunctions } from './user-agents.ts'

const all: readonly FunctionSpec[] = [
  ...celFunctions,
  ...textFunctions,
  ...regexFunctions,
  ...hashFunctions,
  ...urlFunctions,
  ...dateFunctions,
  ...objectFunctions,
  ...arrayFunctions,
  ...conversionFunctions,
  ...identifierFunctions,
  ...userAgentFunctions,
  ...analyticsFunctions,
]

function byName(forms: readonly FunctionSpec['form'][]): ReadonlyMap<string, FunctionSpec> {
  const found = new Map<string, FunctionSpec>()
  for (const spec of all) {
    if (!forms.includes(spec.form ?? 'function')) continue
    for (const name of [spec.name, ...(spec.aliases ?? [])]) found.set(name, spec)
  }
  return found
}

/** What is called as `name(x)`. */
export const FUNCTIONS = byName(['function', 'both'])
/** What is called as `x.name()`. */
export const METHODS = byName(['method', 'both'])

/** Every function as people see it: the reference table and completion are made from this. */
export const functionReference: readonly FunctionReference[] = all
