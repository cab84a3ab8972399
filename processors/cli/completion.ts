import type { Command } from 'commander'
import { Command as NewCommand } from 'commander'
import { BadUsage, printLine } from './output.ts'
import { examples } from './shared.ts'

/** Prints a completion script made from the commands themselves. */
export function completionCommand(program: Command): Command {
  return new NewCommand('completion')
    .description('print a completion script for the shell')
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText(
      'after',
      examples('eval "$(rtml completion bash)"', 'eval "$(rtml completion zsh)"', 'rtml completion fish | source'),
    )
    .action((shell: string) => {
      const commands = program.commands.map((command) => ({
        name: command.name(),
        about: command.description(),
        words: wordsOf(command),
      }))
      if (shell === 'bash') printLine(bash(commands))
      else if (shell === 'zsh') printLine(`autoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`)
      else if (shell === 'fish') printLine(fish(commands))
      else throw new BadUsage(`${JSON.stringify(shell)} is not supported. Use bash, zsh or fish.`)
    })
}

interface Completed {
  readonly name: string
  readonly about: string
  readonly words: readonly string[]
}

const wordsOf = (command: Command): string[] => [
  ...command.commands.map((it) => it.name()),
  ...[command, ...command.commands]
    .flatMap((it) => it.options.map((option) => option.long ?? ''))
    .filter((word) => word !== ''),
]

function bash(commands: readonly Completed[]): string {
  const cases = commands
    .map(({ name, words }) => `    ${name}) words="${[...new Set(words)].join(' ')} --help" ;;`)
    .join('\n')
  return `_rtml() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  case "\${COMP_WORDS[1]}" in
${cases}
    *) words="${commands.map(({ name }) => name).join(' ')} --help --version" ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${commands.map(({ name }) => name).join(' ')} --help --version"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _rtml rtml`
}

function fish(commands: readonly Completed[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "\\'")}'`
  const top = commands.map(
    ({ name, about }) => `complete -c rtml -n __fish_use_subcommand -a ${name} -d ${quote(about)}`,
  )
  const sub = commands.flatMap(({ name, words }) =>
    [...new Set(words)].map((word) => `complete -c rtml -n '__fish_seen_subcommand_from ${name}' -a ${quote(word)}`),
  )
  return [...top, ...sub].join('\n')
}
