import { computed, signal } from '@preact/signals'
import { ApiProblem, credential, get, keepCredential } from './api.ts'
import type { Session } from './types.ts'

export const session = signal<Session | undefined>(undefined)
export const sessionError = signal<Error | undefined>(undefined)

export const can = (scope: string): boolean => session.value?.scopes.includes(scope) ?? false

/** Somebody must say who they are before anything can be shown. */
export const mustSignIn = computed(
  () =>
    session.value?.authentication === 'required' && session.value.actor === null && session.value.scopes.length === 0,
)

export async function openSession(): Promise<void> {
  try {
    session.value = await get<Session>('v1/session')
    sessionError.value = undefined
  } catch (error) {
    sessionError.value = error as Error
  }
}

/** @returns what is wrong with the credential; undefined: nothing */
export async function signIn(text: string): Promise<string | undefined> {
  keepCredential(text)
  try {
    const found = await get<Session>('v1/session')
    if (found.actor !== null) {
      session.value = found
      return undefined
    }
    keepCredential(undefined)
    return 'The server does not know this key or token, or it has expired.'
  } catch (error) {
    keepCredential(undefined)
    if (error instanceof ApiProblem) return error.message
    return 'The server does not answer.'
  }
}

export async function signOut(): Promise<void> {
  keepCredential(undefined)
  session.value = undefined
  await openSession()
}

export const isSignedIn = computed(() => credential.value !== undefined)
