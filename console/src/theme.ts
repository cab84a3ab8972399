/** Dark or light: as the system has it, until somebody chooses. */
import { effect, signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const STORED = 'rtml.theme'
const THEMES: readonly Theme[] = ['system', 'light', 'dark']

const chosen = localStorage.getItem(STORED) as Theme | null
export const theme = signal<Theme>(chosen && THEMES.includes(chosen) ? chosen : 'system')

effect(() => {
  document.documentElement.dataset.theme = theme.value
  localStorage.setItem(STORED, theme.value)
})

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] as Theme
}
