import { execFile, spawn } from 'node:child_process'
import { copyFile, mkdir, readdir } from 'node:fs/promises'
import { constants } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Command } from 'commander'
import { dataDirOf } from '../host/open-engine.ts'
import { PACKAGE_ROOT } from '../host/package-root.ts'
import { CommandFailed, note, printJson, printLine } from './output.ts'
import { type EngineOptions, examples, portOption, withEngine } from './shared.ts'

interface NotebookOptions extends EngineOptions {
  readonly dir: string
  readonly port: number
  readonly url: string
  readonly python?: string
  readonly browser: boolean
  readonly check?: true
  readonly json?: true
}

const TEMPLATES = join(PACKAGE_ROOT, 'models', 'notebooks')
const PYTHON_PACKAGE = join(PACKAGE_ROOT, 'models', 'python')
const LOOK_MS = 60_000
const READY_MS = 3_000

/** What a notebook needs to find in its Python, asked without starting anything. */
const LOOK = `import importlib.util as u, json, sys
print(json.dumps({"python": sys.version.split()[0], "missing": [m for m in ("rtml", "jupyterlab", "ipykernel") if u.find_spec(m) is None]}))`

export function notebookCommand(): Command {
  return withEngine(new Command('notebook'))
    .description('open JupyterLab with the Python package, the notebook templates, and a connection to the engine')
    .argument('[jupyter...]', 'after --: options of JupyterLab itself')
    .option(
      '--dir <folder>',
      'folder of your notebooks; templates are copied there, nothing is overwritten',
      'notebooks',
    )
    .option('--url <address>', 'edge of the running engine', process.env.RTML_URL ?? 'http://127.0.0.1:8080')
    .option('--port <port>', 'port of JupyterLab', portOption, 8888)
    .option('--python <file>', 'Python with the package (default: that of VIRTUAL_ENV, else python3)')
    .option('--no-browser', 'print the address, open nothing')
    .option('--check', 'say what would be used, start nothing')
    .option('--json', 'with --check: print JSON')
    .addHelpText(
      'after',
      examples(
        'rtml notebook',
        'rtml notebook --dir work --url http://127.0.0.1:8081 --no-browser',
        'rtml notebook --no-browser -- --allow-root --IdentityProvider.token=secret',
      ),
    )
    .action(async (given: readonly string[], options: NotebookOptions) => {
      const python = pythonOf(options.python)
      const found = await look(python)
      const connected = await isReady(options.url)
      const copied = await copyTemplates(options.dir)
      const about = {
        python,
        version: found.python,
        notebooks: resolve(options.dir),
        copied,
        url: options.url,
        connected,
      }
      if (options.check) return options.json ? printJson(about) : describe(about)
      if (!connected)
        note(
          `no engine answers at ${options.url}: start one with rtml run, or let a notebook start its own (rtml.Engine)`,
        )
      const code = await jupyter(python, given, options)
      if (code !== 0) throw new CommandFailed(`JupyterLab ended with exit code ${code}`)
    })
}

function describe({ python, version, notebooks, copied, url, connected }: Record<string, unknown>): void {
  printLine(`Python     ${python} (${version})`)
  printLine(`notebooks  ${notebooks}${Array.isArray(copied) && copied.length > 0 ? `, new: ${copied.join(', ')}` : ''}`)
  printLine(`engine     ${url} ${connected ? 'answers' : 'does not answer'}`)
}

function pythonOf(given: string | undefined): string {
  if (given !== undefined) return given
  const home = process.env.VIRTUAL_ENV
  return home ? join(home, 'bin', 'python') : 'python3'
}

/** @throws CommandFailed with the command that installs what is missing */
async function look(python: string): Promise<{ python: string }> {
  const install = `${python} -m pip install '${PYTHON_PACKAGE}[sklearn,notebook]'`
  const answer = await promisify(execFile)(python, ['-c', LOOK], { timeout: LOOK_MS }).catch(() => undefined)
  if (!answer) throw new CommandFailed(`${python} does not run. Install Python 3.10 or later, or name one: --python.`)
  const { python: version, missing } = JSON.parse(answer.stdout) as { python: string; missing: string[] }
  if (missing.length === 0) return { python: version }
  throw new CommandFailed(
    `${python} has no ${missing.join(', ')}. Best in an environment of its own (python3 -m venv): ${install}`,
  )
}

async function isReady(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(READY_MS) }).catch(() => undefined)
  return answer?.ok ?? false
}

/** Templates that the folder doesn't have yet; one that an author changed stays. */
async function copyTemplates(dir: string): Promise<string[]> {
  await mkdir(dir, { recursive: true })
  const present = new Set(await readdir(dir))
  const templates = (await readdir(TEMPLATES)).filter((name) => /\.(ipynb|yaml|py)$/.test(name) && !present.has(name))
  for (const name of templates) await copyFile(join(TEMPLATES, name), join(dir, name))
  return templates.sort()
}

/** Runs JupyterLab in the foreground, with what the Python package reads of its surroundings. */
function jupyter(python: string, given: readonly string[], options: NotebookOptions): Promise<number> {
  const { dir, port, url, app, browser } = options
  const env = {
    ...process.env,
    RTML_URL: url,
    RTML_APP: resolve(app),
    RTML_DATA_DIR: resolve(dataDirOf(process.env, options.data) ?? '.rtml'),
    RTML_NODE: process.execPath,
    // Quoted: the package splits it as a shell does.
    RTML_CLI: [process.execPath, join(PACKAGE_ROOT, 'bin', 'rtml.js')].map((it) => JSON.stringify(it)).join(' '),
    PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`,
  }
  const args = ['-m', 'jupyterlab', '--ip=127.0.0.1', `--port=${port}`, `--ServerApp.root_dir=${resolve(dir)}`]
  const child = spawn(python, [...args, ...(browser ? [] : ['--no-browser']), ...given], { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('exit', (code, signal) =>
      done(code ?? (signal === 'SIGTERM' || signal === 'SIGINT' ? 0 : 128 + constants.signals[signal ?? 'SIGKILL'])),
    )
  })
}
