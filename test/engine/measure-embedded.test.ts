import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

it('measures each step of the embedded engine', { timeout: 120_000 }, async () => {
  const script = new URL('measure-embedded.ts', import.meta.url)
  const { stdout } = await promisify(execFile)(process.execPath, [script.pathname, '8'])
  const lines = stdout.trim().split('\n')
  expect(lines.map((line) => line.split(/ {2,}/)[0])).toEqual([
    'append',
    'read',
    'apply',
    'load',
    'append + deliver + apply',
  ])
  for (const line of lines)
    expect(line).toMatch(/\d+ events\/s, main \d+\.\d\d µs\/event, process \d+\.\d\d µs\/event$/)
})
