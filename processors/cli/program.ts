import { Command } from 'commander'
import { backfillCommand } from './backfill.ts'
import { benchCommand } from './bench.ts'
import { bootstrapCommand } from './bootstrap.ts'
import { checkCommand } from './check.ts'
import { completionCommand } from './completion.ts'
import { demoCommand } from './demo.ts'
import { deadLettersCommand } from './dlq.ts'
import { evaluateCommand } from './evaluate.ts'
import { explainCommand } from './explain.ts'
import { exportCommand } from './export.ts'
import { featuresCommand } from './features.ts'
import { graphCommand } from './graph.ts'
import { initCommand } from './init.ts'
import { keysCommand } from './keys.ts'
import { learnCommand } from './learn.ts'
import { mapCommand } from './map.ts'
import { modelsCommand } from './models.ts'
import { notebookCommand } from './notebook.ts'
import { profileCommand } from './profile.ts'
import { rebuildCommand } from './rebuild.ts'
import { replayCommand } from './replay.ts'
import { reshardCommand } from './reshard.ts'
import { runCommand } from './run.ts'
import { segmentsCommand } from './segments.ts'
import { testCommand } from './test.ts'
import { topicsCommand } from './topics.ts'
import { verifyCommand } from './verify.ts'
import { version, versionCommand } from './version.ts'

/** The whole command line: what `rtml` runs, and what docs/cli.md and the completion scripts are made from. */
export function createProgram(): Command {
  const program = new Command('rtml')
    .description(
      'Real-time machine learning on event streams: map to XDM, keep features, score with ONNX, exactly once.',
    )
    .enablePositionalOptions()
    .version(version(), '-V, --version')
    .showHelpAfterError('(rtml --help shows all commands)')
    .exitOverride()
    .addHelpText(
      'after',
      `
Start here:
  rtml demo                              real shopping events, live scores, the console
  rtml init shop                         an application of your own, in the folder shop

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
    verifyCommand(),
    rebuildCommand(),
    backfillCommand(),
    reshardCommand(),
    segmentsCommand(),
    bootstrapCommand(),
    profileCommand(),
    explainCommand(),
    exportCommand(),
    evaluateCommand(),
    learnCommand(),
    modelsCommand(),
    graphCommand(),
    featuresCommand(),
    notebookCommand(),
    keysCommand(),
    benchCommand(),
    completionCommand(program),
    versionCommand(),
  ]) {
    program.addCommand(inherit(command, 'rtml'))
  }
  return program
}

/** Sub-commands throw instead of ending the process, so that exit codes are decided in one place. */
function inherit(command: Command, parent: string): Command {
  const name = `${parent} ${command.name()}`
  command.exitOverride().showHelpAfterError(`(${name} --help shows its options)`)
  for (const child of command.commands) inherit(child, name)
  return command
}
