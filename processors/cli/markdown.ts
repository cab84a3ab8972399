import type { Command } from 'commander'
import { createProgram } from './program.ts'

const WIDTH = 100

/** The help of every command, as docs/cli.md shows it. */
export function cliMarkdown(): string {
  return createProgram()
    .commands.filter((command) => command.name() !== 'help')
    .flatMap((command) => [`\n## rtml ${command.name()}\n`, ...helps(command)])
    .join('\n')
}

function helps(command: Command): string[] {
  const text = ['```text', helpOf(command), '```']
  return [...text, ...command.commands.flatMap((child) => ['', ...helps(child)])]
}

/** With what `addHelpText` added, at the same width everywhere. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (part) => {
      text += part
    },
    getOutHelpWidth: () => WIDTH,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text.trimEnd()
}
