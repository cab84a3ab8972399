import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { PACKAGE_ROOT } from '../host/package-root.ts'
import { printJson, printLine } from './output.ts'

export function versionCommand(): Command {
  return new Command('version')
    .description('print the version')
    .option('--json', 'print JSON, with the versions of Node.js and of the platform')
    .action((options: { json?: true }) => {
      if (!options.json) return printLine(version())
      printJson({ rtml: version(), node: process.versions.node, platform: `${process.platform}-${process.arch}` })
    })
}

export function version(): string {
  return (JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string }).version
}
