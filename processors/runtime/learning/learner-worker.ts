/** Entry of a learner's thread. */
import { setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'
import { type Answer, type Call, LearnerCalls } from './learner-host.ts'

/** Scoring goes first: on Linux a priority belongs to the thread, elsewhere it would slow the whole process down. */
const NICE = 10

if (parentPort) {
  if (process.platform === 'linux') setPriority(NICE)
  const port = parentPort
  const calls = new LearnerCalls()
  let last = Promise.resolve()
  port.on('message', ({ id, request }: { id: number; request: Call }) => {
    last = last.then(async () => {
      const answer: Answer = await calls.answer(request).then(
        (value) => ({ id, value }),
        (error: unknown) => ({ id, error: error instanceof Error ? error.message : String(error) }),
      )
      port.postMessage(answer)
    })
  })
}
