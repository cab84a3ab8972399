import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { systemClock } from '../../../../processors/app/system-clock.ts'
import { ms } from '../../../../processors/app/units.ts'
import { Health } from '../../../../processors/engine/kafka/health.ts'
import { ConfluentRegistry } from '../../../../processors/engine/kafka/registry.ts'

it('gives up an answer that breaks off in the middle', async () => {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    response.write('{"schema":')
    setImmediate(() => response.socket?.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const health = new Health(systemClock)
  const registry = new ConfluentRegistry({ url, requestTimeoutMs: ms(50) }, systemClock, health)
  await expect(registry.schema(1)).rejects.toMatchObject({ code: 'REGISTRY_DOWN' })
  expect([...health.down().keys()]).toEqual(['registry'])
  server.close()
})
