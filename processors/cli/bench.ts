import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { PACKAGE_ROOT } from '../host/package-root.ts'
import { CommandFailed } from './output.ts'

const MAIN = join(PACKAGE_ROOT, 'test', 'bench', 'main.ts')

/** The benchmark is part of a checkout: its generator and its outside checker are test code. */
export function benchCommand(): Command {
  return new Command('bench')
    .description('measure the whole way on generated events, each result checked from outside (in a checkout)')
    .argument('[options...]', 'passed on to the benchmark: rtml bench --help shows them in a checkout')
    .allowUnknownOption()
    .helpOption(existsSync(MAIN) ? false : '-h, --help')
    .action(async (args: string[]) => {
      if (!existsSync(MAIN)) {
        throw new CommandFailed(
          'the benchmark is not part of the installed package. Clone the repository and run there: npm run bench',
        )
      }
      const child = spawn(process.execPath, [...process.execArgv, MAIN, ...args], { stdio: 'inherit' })
      const code = await new Promise<number>((resolve) => child.on('exit', (exit) => resolve(exit ?? 1)))
      if (code !== 0) throw new CommandFailed(`the benchmark ended with exit code ${code}`)
    })
}
