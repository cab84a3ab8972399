import type { Expression, Variables } from '../../../processors/expressions/types.ts'
/** field path, `field == "x"`, `true`. */
export const fake = {
  compile(source: string): Expression {
    const get = (p: string, root: any, v?: Variables): unknown => {
      if (/^[\d.-]+$/.test(p)) return Number(p)
      if (p === 'true') return true
      if (p.startsWith('"')) return JSON.parse(p)
      if (v && p in v) return v[p]
      let x: any = root
      for (const s of p.split('.')) {
        if (x == null) return null
        x = x[s]
      }
      return x ?? null
    }
    const [l, r] = source.split(' == ')
    const evaluate = (root: object, v?: Variables) =>
      r === undefined ? get(source, root, v) : get(l!, root, v) === get(r, root, v)
    return { source, paths: [], evaluate, test: (root, v) => evaluate(root, v) === true }
  },
}
