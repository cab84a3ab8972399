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
  const kernel = /Could not find an implementation for (\w+)\((\d+)\)/.exec(runtimeText)
  if (kernel) {
    const opset = model.opsets.find((it) => it.domain === '')?.version
    const advice =
      opset !== undefined && opset < OLDEST_OPSET
        ? `The file uses opset ${opset}; the runtime supports ${OLDEST_OPSET} and newer: convert it with onnx.version_converter.`
        : 'Export with another opset, or cast that operator’s inputs to float32 inside the graph.'
    return `the runtime has no CPU kernel for ${kernel[1]} (since opset ${kernel[2]}) with the types used here. ${advice}`
  }
  const type = /^Unsupported data type: (\d+)/.exec(runtimeText)
  if (type) {
    const name = UNREADABLE[Number(type[1])] ?? `element type ${type[1]}`
    return `an input or output is ${name}, which can't be passed from JavaScript. Cast it to float32 inside the graph.`
  }
  if (runtimeText.includes('Failed to construct locale')) {
    return `${runtimeText} Install that locale on this machine, or export StringNormalizer with locale "C".`
  }
  return runtimeText
}

/** The runtime's promise starts at opset 7; older operators often have no kernel any more. */
const OLDEST_OPSET = 7

/** onnx.TensorProto.DataType that the binding can't carry. */
const UNREADABLE: Readonly<Record<number, string>> = {
  14: 'complex64',
  15: 'complex128',
  16: 'bfloat16',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  23: 'float4e2m1',
}
