import { render } from 'preact'
import { useEffect } from 'preact/hooks'
import { follow } from './live.ts'
import { AuditPage } from './pages/audit.tsx'
import { DeadLettersPage } from './pages/dead-letters.tsx'
import { FeaturesPage } from './pages/features.tsx'
import { LearnersPage } from './pages/learners.tsx'
import { ProfilesPage } from './pages/profiles.tsx'
import { RulesPage } from './pages/rules.tsx'
import { ServicesPage } from './pages/services.tsx'
import { SourcesPage } from './pages/sources.tsx'
import { TopologyPage } from './pages/topology.tsx'
import { path, to } from './route.ts'
import { can, mustSignIn, openSession, session, sessionError } from './session.ts'
import { type PageEntry, Shell, SignIn } from './shell.tsx'
import { Empty, Failure, Page } from './ui.tsx'
import './style.css'

const PAGES: readonly PageEntry[] = [
  { id: 'topology', name: 'Topology', key: 't', scope: 'topology:read', page: TopologyPage },
  { id: 'sources', name: 'Sources', key: 's', scope: 'topology:read', page: SourcesPage },
  { id: 'features', name: 'Features', key: 'f', scope: 'features:read', page: FeaturesPage },
  { id: 'services', name: 'Services', key: 'v', scope: 'services:read', page: ServicesPage },
  { id: 'learners', name: 'Learners', key: 'l', scope: 'services:read', page: LearnersPage },
  { id: 'rules', name: 'Rules', key: 'r', scope: 'rules:read', page: RulesPage },
  { id: 'profiles', name: 'Profiles', key: 'p', scope: 'profiles:read', page: ProfilesPage },
  { id: 'dead-letters', name: 'Dead letters', key: 'd', scope: 'dead-letters:read', page: DeadLettersPage },
  { id: 'audit', name: 'Audit', key: 'a', scope: 'audit:read', page: AuditPage },
]

function App() {
  useEffect(() => void openSession(), [])
  const mayFollow = can('topology:read')
  useEffect(() => {
    if (!mayFollow) return
    const stop = new AbortController()
    void follow(stop.signal)
    return () => stop.abort()
  }, [mayFollow])
  if (sessionError.value && !session.value) {
    return (
      <main class="sign-in">
        <h1>rtml</h1>
        <Failure error={sessionError.value} retry={() => void openSession()} />
      </main>
    )
  }
  if (!session.value) return null
  if (mustSignIn.value) return <SignIn />
  return (
    <Shell pages={PAGES}>
      <Current />
    </Shell>
  )
}

function Current() {
  const wanted = path.value[0]
  const entry = wanted === undefined ? PAGES.find(({ scope }) => can(scope)) : PAGES.find(({ id }) => id === wanted)
  if (!entry) {
    return (
      <Page title="Not found">
        <Empty title="There is no such page.">
          <a href={to()}>Go to the first one</a>
        </Empty>
      </Page>
    )
  }
  if (!can(entry.scope)) {
    return (
      <Page title={entry.name}>
        <Empty title={`Your key does not have the scope ${entry.scope}.`}>
          Ask for one that has, or make it: <code>rtml keys new NAME --scopes {entry.scope}</code>
        </Empty>
      </Page>
    )
  }
  const Content = entry.page
  return <Content key={entry.id} />
}

render(<App />, document.getElementById('app') as HTMLElement)
