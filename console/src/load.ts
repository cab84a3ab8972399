import { useCallback, useEffect, useState } from 'preact/hooks'
import { get } from './api.ts'

export interface Loaded<T> {
  /** The last answer; stays while a newer one is asked for. */
  readonly value: T | undefined
  readonly error: Error | undefined
  readonly isLoading: boolean
  readonly reload: () => void
}

/** Asks for `path` now and when it changes. @param path undefined: nothing is asked */
export function useLoad<T>(path: string | undefined): Loaded<T> {
  const [state, setState] = useState<{ path?: string | undefined; value?: T; error?: Error; isLoading: boolean }>({
    isLoading: path !== undefined,
  })
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    if (path === undefined) return setState({ isLoading: false })
    const stop = new AbortController()
    setState((old) => (old.path === path ? { ...old, isLoading: true } : { path, isLoading: true }))
    get<T>(path, stop.signal).then(
      (value) => setState({ path, value, isLoading: false }),
      (error: Error) => {
        if (!stop.signal.aborted) setState((old) => ({ ...old, path, error, isLoading: false }))
      },
    )
    return () => stop.abort()
  }, [path, turn])
  const reload = useCallback(() => setTurn((it) => it + 1), [])
  const isCurrent = state.path === path
  return {
    value: isCurrent ? state.value : undefined,
    error: isCurrent ? state.error : undefined,
    isLoading: state.isLoading || !isCurrent,
    reload,
  }
}
