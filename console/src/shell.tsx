/** What surrounds every page: navigation, state of the link, shortcuts, and the place where a key is asked for. */
import { signal } from '@preact/signals'
import type { ComponentChildren, ComponentType } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { frame, link } from './live.ts'
import { go, path, to } from './route.ts'
import { can, isSignedIn, session, signIn, signOut } from './session.ts'
import { nextTheme, theme } from './theme.ts'
import { Field } from './ui.tsx'

export interface PageEntry {
  readonly id: string
  readonly name: string
  /** After `g`. */
  readonly key: string
  readonly scope: string
  readonly page: ComponentType
}

const isMenuOpen = signal(false)
const isHelpOpen = signal(false)

export function Shell({ pages, children }: { pages: readonly PageEntry[]; children: ComponentChildren }) {
  useShortcuts(pages)
  const current = path.value[0] ?? pages[0]?.id
  const colours = theme.value === 'system' ? 'auto' : theme.value
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to content
      </button>
      <header class="top">
        <button
          type="button"
          class="menu quiet"
          aria-expanded={isMenuOpen.value}
          aria-controls="nav"
          onClick={() => {
            isMenuOpen.value = !isMenuOpen.value
          }}
        >
          Menu
        </button>
        <span class="brand">
          rtml <span class="soft">{session.value?.app ?? frame.value?.app ?? ''}</span>
        </span>
        <LinkState />
        <span class="grow" />
        {session.value?.actor && <span class="soft actor">{session.value.actor}</span>}
        {isSignedIn.value && (
          <button type="button" class="quiet" onClick={() => void signOut()}>
            Sign out
          </button>
        )}
        <button
          type="button"
          class="quiet"
          onClick={nextTheme}
          aria-label={`Colours: ${colours}`}
          title="Change the colours"
        >
          <span aria-hidden="true">◐ </span>
          {colours}
        </button>
        <button
          type="button"
          class="quiet"
          aria-label="Keyboard shortcuts"
          onClick={() => {
            isHelpOpen.value = true
          }}
        >
          ?
        </button>
      </header>
      <div class="body">
        <nav id="nav" aria-label="Pages" class={isMenuOpen.value ? 'open' : undefined}>
          <ul>
            {pages
              .filter(({ scope }) => can(scope))
              .map(({ id, name }) => (
                <li key={id}>
                  <a
                    href={to(id)}
                    aria-current={id === current ? 'page' : undefined}
                    onClick={() => {
                      isMenuOpen.value = false
                    }}
                  >
                    {name}
                  </a>
                </li>
              ))}
          </ul>
        </nav>
        <main id="main" tabIndex={-1}>
          {children}
        </main>
      </div>
      <Help pages={pages} />
    </>
  )
}

function LinkState() {
  if (!can('topology:read')) return null
  const texts = { connecting: 'connecting…', live: 'live', lost: 'no connection, trying again…' }
  return (
    <span class={`link ${link.value}`} role="status">
      {texts[link.value]}
    </span>
  )
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]') !== null

/** `g` and a letter goes to a page, `/` to the page's search field, `?` shows all. */
function useShortcuts(pages: readonly PageEntry[]): void {
  useLayoutEffect(() => {
    let isGoing = false
    const pressed = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
      if (isGoing) {
        isGoing = false
        const page = pages.find(({ key, scope }) => key === event.key && can(scope))
        if (page) {
          event.preventDefault()
          go(page.id)
        }
        return
      }
      if (event.key === 'g') isGoing = true
      else if (event.key === '?') isHelpOpen.value = true
      else if (event.key === '/') {
        const field = document.querySelector<HTMLInputElement>('main [data-search]')
        if (!field) return
        event.preventDefault()
        field.focus()
        field.select()
      }
    }
    addEventListener('keydown', pressed)
    return () => removeEventListener('keydown', pressed)
  }, [pages])
}

function Help({ pages }: { pages: readonly PageEntry[] }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    if (isHelpOpen.value) dialog.current?.showModal()
    else dialog.current?.close()
  }, [isHelpOpen.value])
  const close = () => {
    isHelpOpen.value = false
  }
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="help-title">
      <h2 id="help-title">Keyboard shortcuts</h2>
      <dl class="keys">
        {pages
          .filter(({ scope }) => can(scope))
          .map(({ key, name }) => (
            <div key={key}>
              <dt>
                <kbd>g</kbd> <kbd>{key}</kbd>
              </dt>
              <dd>{name}</dd>
            </div>
          ))}
        <div>
          <dt>
            <kbd>/</kbd>
          </dt>
          <dd>search field of the page</dd>
        </div>
        <div>
          <dt>
            <kbd>?</kbd>
          </dt>
          <dd>this list</dd>
        </div>
      </dl>
      <button type="button" onClick={close}>
        Close
      </button>
    </dialog>
  )
}

export function SignIn() {
  const [key, setKey] = useState('')
  const [error, setError] = useState<string>()
  const [isBusy, setBusy] = useState(false)
  useEffect(() => {
    document.title = 'Sign in · rtml'
  }, [])
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setError(await signIn(key.trim()))
    setBusy(false)
  }
  return (
    <main class="sign-in">
      <h1>rtml</h1>
      <form onSubmit={(event) => void submit(event)}>
        <Field
          label="API key or token"
          isSecret
          value={key}
          onValue={setKey}
          isRequired
          isFirst
          maxLength={8_192}
          hint={
            <>
              Made with <code>rtml keys new ops --scopes '*'</code>. Kept in this tab only.
            </>
          }
        />
        {error && (
          <p class="bad" role="alert">
            {error}
          </p>
        )}
        <button type="submit" class="primary" disabled={isBusy || key.trim() === ''}>
          Sign in
        </button>
      </form>
    </main>
  )
}
