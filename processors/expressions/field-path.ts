import { refuse } from './errors.ts'

/** One step of a path: a field by name, an element by position, or every element. */
export type Step =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | { readonly kind: 'each' }

const MAX_STEPS = 64

/**
 * Reads a path as people write it: `commerce.order.priceTotal`, `productListItems[0].SKU`, `items[*].name`, `First\.Name` for a name with a
 * dot. Inside `${…}` blanks belong to the name.
 * @throws ExpressionError `syntax` when a name is empty or a bracket isn't an index
 */
export function parseFieldPath(text: string): Step[] {
  const steps: Step[] = []
  let at = 0
  while (at < text.length) {
    if (steps.length >= MAX_STEPS) refuse('limit', `A path may have ${MAX_STEPS} steps.`)
    if (text[at] === '[') {
      const match = /\[\s*(\*|\d{1,9})\s*\]/y
      match.lastIndex = at
      const found = match.exec(text)
      if (found === null) refuse('syntax', `Path ${JSON.stringify(text)}: "[" wants a position or * and a "]".`)
      steps.push(found[1] === '*' ? { kind: 'each' } : { kind: 'index', index: Number(found[1]) })
      at += found[0].length
      if (text[at] === '.') at++
      else if (at < text.length && text[at] !== '[') refuse('syntax', `Path ${JSON.stringify(text)}: "." is missing.`)
      continue
    }
    const { name, end } = readName(text, at)
    if (name === '') refuse('syntax', `Path ${JSON.stringify(text)} has an empty name.`)
    steps.push({ kind: 'name', name })
    at = end
    if (text[at] === '.') {
      at++
      if (at === text.length) refuse('syntax', `Path ${JSON.stringify(text)} ends with a dot.`)
    }
  }
  if (steps.length === 0) refuse('syntax', 'A path is empty.')
  return steps
}

function readName(text: string, start: number): { name: string; end: number } {
  let name = ''
  let at = start
  while (at < text.length && text[at] !== '.' && text[at] !== '[') {
    if (text[at] === '\\' && at + 1 < text.length) at++
    name += text[at++]
  }
  return { name, end: at }
}

/** Dot notation with array steps as `[]`; dots, brackets and backslashes inside names are escaped. */
export function formatFieldPath(steps: readonly Step[]): string {
  let text = ''
  for (const step of steps) {
    if (step.kind !== 'name') text += '[]'
    else text += `${text === '' ? '' : '.'}${step.name.replaceAll(/[\\.[\]]/g, '\\$&')}`
  }
  return text
}
