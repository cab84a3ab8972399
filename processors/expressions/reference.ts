import { functionReference } from './functions/registry.ts'
import { type FunctionReference, GROUPS } from './functions/spec.ts'

const START = '<!-- functions: made from the sources -->'
const END = '<!-- end of functions -->'

/** The page with its table of functions made anew from the functions themselves. @throws Error when the markers are missing */
export function withReference(page: string): string {
  const start = page.indexOf(START)
  const end = page.indexOf(END)
  if (start === -1 || end < start) throw new Error(`the page lacks the lines ${START} and ${END}`)
  return `${page.slice(0, start)}${START}\n\n${referenceTables()}\n${page.slice(end)}`
}

function referenceTables(): string {
  return GROUPS.map((group) => {
    const rows = functionReference.filter((entry) => entry.group === group).map(row)
    return `### ${group}\n\n| function | gives | example |\n|---|---|---|\n${rows.join('\n')}\n`
  }).join('\n')
}

function row({ signature, aliases = [], about, example, result }: FunctionReference): string {
  const names = aliases.length === 0 ? '' : ` (also ${aliases.map((name) => `\`${name}\``).join(', ')})`
  const given = result === undefined ? '' : ` → ${code(JSON.stringify(result))}`
  return `| ${code(signature)}${names} | ${escapeCell(about)} | ${code(shorten(example))}${given} |`
}

const escapeCell = (text: string): string => text.replaceAll('|', '\\|')
const code = (text: string): string => `\`${escapeCell(text)}\``
const shorten = (text: string): string =>
  text.length <= 100 ? text : text.replace(/"Mozilla[^"]+"/, '"Mozilla/5.0 (iPhone; CPU iPhone OS 5_1_1 …"')
