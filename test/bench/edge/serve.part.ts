/** The application with its edge in one process, and beside it a server that only reads the same states. */
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { groupOf } from '../../../processors/app/topics.ts'
import { profileTopic } from '../../../processors/edge/profile-reader.ts'
import { serve } from '../../../processors/edge/serve.ts'
import { partitionOf } from '../../../processors/engine/murmur2.ts'
import { openApplicationFile } from '../../../processors/host/application-file.ts'
import { consoleDir } from '../../../processors/host/console.ts'
import { overviewOf } from '../../../processors/host/overview.ts'
import { startWorker } from '../../../processors/host/start.ts'
import type { Logger } from '../../../processors/runtime/telemetry.ts'
import { part } from '../j1/children.ts'
import { fill } from '../j1/engine.ts'
import { JOB } from '../j1/job.ts'
import type { EdgePartOptions } from './options.ts'

const write = (fields: object, message: string) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)
const logger: Logger = { debug() {}, info() {}, warn: write, error: write }
const HOST = '127.0.0.1'

await part<{ profiles: number }>(async (given, { ready, stopped }) => {
  const options = given as EdgePartOptions
  const env = { ...process.env, ...options.env }
  const opened = openApplicationFile(fileURLToPath(new URL('rtml.yaml', import.meta.url)), env)
  await using worker = await startWorker({ opened, env, logger, dataDir: options.dataDir })
  const running = await worker.started
  await using server = await serve({
    worker,
    overview: () => overviewOf(worker),
    consoleDir,
    origins: [],
    env: {},
    logger,
    host: HOST,
    port: options.port,
  })
  await server.edge
  const { engine, plan } = running
  const topic = profileTopic(plan)
  const group = groupOf(plan.app, 'profile')
  await fill(engine, options)
  for (const [stage, input] of [
    ['map.clicks', `${plan.app.topicPrefix}${JOB.topic}`],
    ['profile', topic],
  ] as const) {
    const isDone = async () => {
      for (const { partition, end } of await engine.log.bounds(input)) {
        if (((await engine.log.committed(groupOf(plan.app, stage), { topic: input, partition })) ?? 0) < end)
          return false
      }
      return true
    }
    while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const partitions = (await engine.log.bounds(topic)).length
  const floor = createServer((request, response) => {
    const key = decodeURIComponent(request.url?.slice(1) ?? '')
    const partition = partitionOf(Buffer.from(key), partitions)
    request.resume()
    engine.store.load({ group, topic, partition }, [key]).then(
      ([state]) =>
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ bytes: state?.length ?? 0 })),
      (error: Error) => response.writeHead(500).end(error.message),
    )
  })
  await new Promise<void>((resolve) => floor.listen(options.floorPort, HOST, resolve))
  ready()
  await Promise.race([stopped, worker.failed.then((error) => Promise.reject(error))])
  floor.closeAllConnections()
  floor.close()
  return { profiles: JOB.profiles }
})
