/** Which page: the part of the address after #, so that the server needs to know only one. */
import { computed, signal } from '@preact/signals'

const hash = signal(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})

/** `#/profiles/ECID/42?x=1` → ['profiles', 'ECID', '42']. */
export const path = computed<readonly string[]>(() => {
  const [steps] = hash.value.replace(/^#\/?/, '').split('?')
  return (steps ?? '').split('/').filter(Boolean).map(decode)
})

export const parameters = computed(() => new URLSearchParams(hash.value.split('?')[1] ?? ''))

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const to = (...steps: readonly string[]): string => `#/${steps.map(encodeURIComponent).join('/')}`

export function go(...steps: readonly string[]): void {
  location.hash = to(...steps)
}
