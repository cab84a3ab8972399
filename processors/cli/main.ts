import { CommanderError } from 'commander'
import { RtmlError } from '../app/errors.ts'
import { BadUsage, CommandFailed, note } from './output.ts'
import { createProgram } from './program.ts'

const DONE = 0
const FAILED = 1
const BAD_USAGE = 2

// A reader that went away (head, less) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? DONE : FAILED))

try {
  await createProgram().parseAsync()
} catch (error) {
  process.exitCode = report(error)
}

function report(error: unknown): number {
  // commander has printed its own words; help and version are no failures.
  if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : BAD_USAGE
  if (error instanceof BadUsage) note(`rtml: ${error.message}`)
  else if (error instanceof CommandFailed) note(`rtml: ${error.message}`)
  else if (error instanceof RtmlError) note(error.message)
  else if (isSystemError(error)) note(`rtml: ${error.message}`)
  else note(`rtml: unexpected failure: ${error instanceof Error ? error.stack : String(error)}`)
  return error instanceof BadUsage ? BAD_USAGE : FAILED
}

/** The operating system refused something: its words name the call, the reason and the path. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error
}
