import { RtmlError } from '../../app/errors.ts'
import type { ModelDefinition } from '../../app/schema.ts'
import type { Expression } from '../../expressions/types.ts'
import { type GalleryVersion, type Role, versionName } from '../../gallery/index.ts'
import { RULE_VARIABLES, type ScorerModel, scorerModel } from '../../scorer/index.ts'

/** Compiles the expressions of a manifest. */
export interface Compiler {
  compile(source: string, options?: { variables?: readonly string[] }): Expression
}

/**
 * A version in a role, ready to be loaded.
 * @throws RtmlError MODEL_ROUTING when an expression of its manifest is not valid
 */
export function modelOf(version: GalleryVersion, role: Role, bytes: Uint8Array, expressions: Compiler): ScorerModel {
  const { manifest, service, sha256, onnx } = version
  const definition: ModelDefinition = {
    ...manifest,
    version: version.version,
    service,
    role: role.role,
    share: role.share,
  }
  const place = onnx.at === 'file' ? `models.${version.model}` : versionName(version)
  const { fallback } = manifest
  const compile = (key: string, source: string, variables: readonly string[] = []) => {
    try {
      return expressions.compile(source, { variables })
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause)
      throw new RtmlError('MODEL_ROUTING', `${key}: ${text}`, { place, cause })
    }
  }
  const rule = typeof fallback === 'object' && 'rule' in fallback ? fallback.rule : undefined
  return scorerModel(version.model, definition, {
    bytes,
    sha256,
    when: manifest.when === undefined ? undefined : compile('when', manifest.when),
    rule: rule === undefined ? undefined : compile('fallback.rule', rule, RULE_VARIABLES),
    place,
    ranges: role.ranges,
    watch: role.watch,
  })
}
