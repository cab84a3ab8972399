/**
 * Where a member stands in a JSON text, so that what is wrong with it can be shown there.
 * @param steps path from the root: names and positions in lists
 * @returns index of the member's value; undefined when it is not in the text
 */
export function placeInJson(text: string, steps: readonly string[]): number | undefined {
  let at = 0
  const blank = () => {
    while (/\s/.test(text[at] ?? '')) at++
  }
  const string = (): string => {
    const from = at++
    while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
    return JSON.parse(text.slice(from, ++at)) as string
  }
  // Reads the value at `at`; depth: how many steps have led here; −1: it is on another path.
  const value = (depth: number): number | undefined => {
    blank()
    if (depth === steps.length) return at
    const open = text[at]
    if (open === '"') {
      string()
      return undefined
    }
    if (open !== '{' && open !== '[') {
      while (at < text.length && !/[\s,\]}]/.test(text[at] ?? '')) at++
      return undefined
    }
    at++
    for (let index = 0; ; index++) {
      blank()
      if (text[at] === '}' || text[at] === ']') {
        at++
        return undefined
      }
      let name = String(index)
      if (open === '{') {
        name = string()
        blank()
        at++
      }
      const found = value(depth >= 0 && name === steps[depth] ? depth + 1 : -1)
      if (found !== undefined) return found
      blank()
      if (text[at] === ',') at++
      else if (text[at] !== '}' && text[at] !== ']') return undefined
    }
  }
  try {
    return value(0)
  } catch {
    return undefined
  }
}

/** `rules[0].when` → rules, 0, when. */
export const stepsOf = (path: string): string[] => path.split(/[.[\]]+/).filter(Boolean)
