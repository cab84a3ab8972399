/** Dark or light: as the system has it, until somebody chooses. */
import { computed, effect, signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const STORED = 'rtml.theme'
const THEMES: readonly Theme[] = ['system', 'light', 'dark']

const chosen = localStorage.getItem(STORED) as Theme | null
export const theme = signal<Theme>(chosen && THEMES.includes(chosen) ? chosen : 'system')

const systemIsDark = matchMedia('(prefers-color-scheme: dark)')
const systemDark = signal(systemIsDark.matches)
systemIsDark.addEventListener('change', () => {
  systemDark.value = systemIsDark.matches
})

/** What is shown now. */
export const isDark = computed(() => (theme.value === 'system' ? systemDark.value : theme.value === 'dark'))

effect(() => {
  document.documentElement.dataset.theme = theme.value
  localStorage.setItem(STORED, theme.value)
})

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] as Theme
}
