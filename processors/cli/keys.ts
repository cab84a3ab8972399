import { Command } from 'commander'
import { newApiKey, parseScopes } from '../edge/auth/api-keys.ts'
import { SCOPES } from '../edge/auth/scopes.ts'
import { BadUsage, note, printJson, printLine } from './output.ts'
import { examples } from './shared.ts'

/** API keys of the HTTP edge. */
export function keysCommand(): Command {
  const command = new Command('keys').description('API keys of the HTTP edge')
  command.addCommand(
    new Command('new')
      .description('make an API key: the key once, and the line with its hash for RTML_API_KEYS or its file')
      .argument('<name>', 'who will use it: letters, digits, . _ -')
      .requiredOption('--scopes <list>', `what it may do, separated by commas, or *: ${Object.keys(SCOPES).join(', ')}`)
      .option('--json', 'print JSON')
      .addHelpText(
        'after',
        examples('rtml keys new shop --scopes collect,interact', "rtml keys new ops --scopes '*' --json"),
      )
      .action((name: string, options: { scopes: string; json?: true }) => {
        if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
          throw new BadUsage(`${JSON.stringify(name)} is no name of a key. Use 1–64 letters, digits, . _ -`)
        }
        const made = newApiKey(name, [...parseScopes(options.scopes, '--scopes')])
        if (options.json) return printJson(made)
        note('rtml: the key, shown only now; whoever has it may do what its scopes say:')
        printLine(made.key)
        note('rtml: the line for RTML_API_KEYS, or for the file that RTML_API_KEYS_FILE names:')
        printLine(made.line)
      }),
  )
  return command
}
