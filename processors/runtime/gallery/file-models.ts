import type { ModelDefinition, ModelManifest } from '../../app/schema.ts'
import type { GalleryVersion, InitialModel, NewOnnx, NewVersion, Role } from '../../gallery/index.ts'

/** A model of the application file: a service's first version, and what is published when a record must name it. */
export interface FileModel extends InitialModel {
  readonly bytes: Uint8Array
  readonly toPublish: NewVersion
  readonly onnx: NewOnnx
}

/** @param at ISO 8601: when the file was read */
export function fileModel(
  name: string,
  definition: ModelDefinition,
  file: { readonly bytes: Uint8Array; readonly sha256: string },
  at: string,
): FileModel {
  const { version, role, share, service = name, uri } = definition
  const { bytes, sha256 } = file
  const toPublish: NewVersion = {
    model: name,
    version,
    service,
    origin: 'file',
    manifest: manifestText(definition),
    at,
    by: 'application file',
  }
  const { inputs, output, outputs, when, deadline, fallback, explain, maxBatchRows, deploy } = definition
  const entry: Role = { model: name, version, role, share: role === 'arm' ? (share ?? 0) : 0 }
  const isRemote = uri !== undefined && !uri.startsWith('file:')
  return {
    version: {
      ...toPublish,
      manifest: { inputs, output, outputs, when, deadline, fallback, explain, maxBatchRows, deploy },
      metrics: {},
      provenance: {},
      why: '',
      sha256,
      sizeBytes: bytes.length,
      onnx: { at: 'file' },
    },
    role: entry,
    bytes,
    toPublish,
    onnx: isRemote ? { uri, sha256, sizeBytes: bytes.length } : { bytes },
  }
}

/** How the model is fed and read, in the words of the application file. */
export function manifestText(manifest: GalleryVersion['manifest']): ModelManifest {
  const { inputs, output, outputs, when, deadline, fallback, explain, maxBatchRows, deploy } = manifest
  const named = { inputs, output, outputs, when, fallback, explain }
  const given = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined))
  return { ...given, deadline: `${deadline}ms`, maxBatchRows, deploy }
}
