/** `node test/services/up.ts`: starts the services, prints their environment variables and waits for Ctrl-C. */
import { environment, services } from './harness.ts'

const found = await services()
for (const [name, value] of Object.entries(environment(found))) process.stdout.write(`export ${name}=${value}\n`)
process.stderr.write('services are up; Ctrl-C stops them some seconds later\n')
const alive = setInterval(() => {}, 60_000)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => clearInterval(alive))
