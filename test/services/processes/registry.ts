/** Apicurio Registry with its Confluent-compatible API; schemas survive a restart in an H2 file. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Controlled, freePort, ServerProcess } from './process.ts'
import { dataFolder, REGISTRY_VERSION, registryHome } from './tools.ts'

export interface RegistryServer extends Controlled, AsyncDisposable {
  readonly url: string
}

export async function startRegistry(): Promise<RegistryServer> {
  const [home, dir, port] = await Promise.all([registryHome(), dataFolder('registry'), freePort()])
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const pool = 'quarkus.datasource.jdbc'
  const server = new ServerProcess({
    name: 'registry',
    command: 'java',
    args: [
      ...['-Xmx256m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Dquarkus.http.host=127.0.0.1'],
      ...[`-D${pool}.min-size=2`, `-D${pool}.initial-size=2`, `-D${pool}.max-size=8`],

      '-Dregistry.rules.global.compatibility=BACKWARD',
      ...['-jar', join(home, `apicurio-registry-app-${REGISTRY_VERSION}-runner.jar`)],
    ],
    env: { HTTP_PORT: String(port), REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${join(dir, 'schemas')}` },
    dir,
    ready: async () => {
      const answer = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(2_000) })
      if (!answer.ok) throw new Error(`${answer.status}`)
    },
  })
  await server.start()
  return Object.assign(server, {
    url,
    [Symbol.asyncDispose]: async () => {
      await server.kill()
      await rm(dir, { recursive: true, force: true })
    },
  })
}
