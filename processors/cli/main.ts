import { Command, CommanderError } from 'commander'
import { RtmlError } from '../app/errors.ts'
import { checkCommand } from './check.ts'
import { completionCommand } from './completion.ts'
import { demoCommand } from './demo.ts'
import { deadLettersCommand } from './dlq.ts'
import { explainCommand } from './explain.ts'
import { initCommand } from './init.ts'
import { mapCommand } from './map.ts'
import { modelsCommand } from './models.ts'
import { BadUsage, CommandFailed, note, printLine } from './output.ts'
import { profileCommand } from './profile.ts'
import { replayCommand } from './replay.ts'
import { runCommand } from './run.ts'
import { testCommand } from './test.ts'
import { topicsCommand } from './topics.ts'
import { version } from './version.ts'

const DONE = 0
const FAILED = 1
const BAD_USAGE = 2

const program = new Command('rtml')
  .description('Real-time machine learning on event streams: map to XDM, keep features, score with ONNX, exactly once.')
  .version(version(), '-V, --version')
  .showHelpAfterError('(rtml --help shows all commands)')
  .exitOverride()
  .addHelpText(
    'after',
    `
The engine is chosen by the environment: nothing set = embedded, in the directory .rtml; KAFKA_BROKERS, REDIS_URL and
SCHEMA_REGISTRY_URL = Kafka. Exit codes: 0 done, 1 failed, 2 bad usage.`,
  )

for (const command of [
  initCommand(),
  checkCommand(),
  testCommand(),
  runCommand(),
  demoCommand(),
  mapCommand(),
  replayCommand(),
  topicsCommand(),
  deadLettersCommand(),
  profileCommand(),
  explainCommand(),
  modelsCommand(),
  completionCommand(program),
]) {
  program.addCommand(inherit(command))
}
program
  .command('version')
  .description('print the version')
  .action(() => printLine(version()))

/** Sub-commands throw instead of ending the process, so that exit codes are decided in one place. */
function inherit(command: Command): Command {
  command.exitOverride().showHelpAfterError(`(rtml ${command.name()} --help shows its options)`)
  command.commands.forEach(inherit)
  return command
}

// A reader that went away (head, less) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? DONE : FAILED))

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = report(error)
}

function report(error: unknown): number {
  // commander has printed its own words; help and version are no failures.
  if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : BAD_USAGE
  if (error instanceof BadUsage) note(`rtml: ${error.message}`)
  else if (error instanceof CommandFailed || error instanceof RtmlError) note(error.message)
  else note(`rtml: unexpected failure: ${error instanceof Error ? error.stack : String(error)}`)
  return error instanceof BadUsage ? BAD_USAGE : FAILED
}
