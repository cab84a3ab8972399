import type { Opset } from './model-file.ts'

/** What the runtime said about versions, in words that say both numbers and what to do. Other refusals: its own text. */
export function refusal(runtimeText: string, model: { irVersion: number; opsets: readonly Opset[] }): string {
  const ir = /max supported IR version: (\d+)/.exec(runtimeText)
  if (ir) {
    return (
      `the file has ONNX IR version ${model.irVersion}, the runtime supports up to ${ir[1]}. ` +
      `Export again with a pinned target_opset and set model.ir_version = ${ir[1]} (a newer onnx package writes a newer IR version).`
    )
  }
  const opset = /support for domain (\S+) is till opset (\d+)/.exec(runtimeText)
  if (opset) {
    const domain = opset[1] === 'ai.onnx' ? '' : opset[1]
    const found = model.opsets.find((it) => it.domain === domain)?.version
    return (
      `the file uses opset ${found ?? 'unknown'} of ${opset[1]}, the runtime supports up to ${opset[2]}. ` +
      `Export again with target_opset=${opset[2]} or lower.`
    )
  }
  return runtimeText
}
