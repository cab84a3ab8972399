import { statSync } from 'node:fs'
import { Command } from 'commander'
import { createModelPool, verifyModels } from '../scorer/index.ts'
import { addRegistryCommands } from './models-registry.ts'
import { BadUsage, CommandFailed, printJson, printLine } from './output.ts'
import { examples } from './shared.ts'

export function modelsCommand(): Command {
  const command = new Command('models').description('models: who serves, push, promote, roll back; verify files')
  command
    .command('verify')
    .description('run every model.onnx below a folder that has an io.json beside it, and compare outputs')
    .argument('<dir>', 'folder with models')
    .option('--json', 'print one JSON object at the end')
    .addHelpText('after', examples('rtml models verify models', 'rtml models verify models --json'))
    .action(async (dir: string, options: { json?: true }) => {
      if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory())
        throw new BadUsage(`${JSON.stringify(dir)} is not a folder.`)
      await using pool = await createModelPool({})
      const results = []
      for await (const result of verifyModels(dir, pool)) {
        results.push(result)
        if (options.json) continue
        if (result.ok) continue
        printLine(`${result.model}: ${result.error ?? 'differs'}`)
        for (const { output, index, expected, got } of result.mismatches)
          printLine(`  ${output}[${index}]: expected ${expected}, got ${got}`)
      }
      const failed = results.filter(({ ok }) => !ok).length
      if (options.json) printJson({ models: results.length, ok: results.length - failed, failed, results })
      else printLine(`${results.length} models: ${results.length - failed} ok, ${failed} failed`)
      if (results.length === 0) throw new CommandFailed(`no model.onnx with an io.json beside it below ${dir}`)
      if (failed > 0) throw new CommandFailed(`${failed} of ${results.length} models differ`)
    })
  addRegistryCommands(command)
  return command
}
