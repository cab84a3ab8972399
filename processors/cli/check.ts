import { Command } from 'commander'
import { formatDuration } from '../app/duration.ts'
import type { Application, FeatureDefinition } from '../app/schema.ts'
import { ms } from '../app/units.ts'
import { resolveWindow } from '../features/index.ts'
import { inputStages } from '../host/stages.ts'
import { type Plan, planApplication, topicSpecs } from '../topology.ts'
import { printJson, printLine, printTable } from './output.ts'
import { withScorer } from './plan-scorer.ts'
import { type AppOptions, examples, openApp, withApp } from './shared.ts'

export function checkCommand(): Command {
  return withApp(new Command('check'))
    .description('validate the application file and plan it: topics, stages, state layout, features, models')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml check', 'rtml check --app shop/rtml.yaml --json'))
    .action(async (options: AppOptions & { json?: true }) => {
      const opened = openApp(options)
      const plan = await planApplication(opened.planOptions)
      const models = await boundModels(plan)
      const result = describe(plan, models)
      if (options.json) return printJson(result)
      printLine(`${options.app}: ${result.app} is valid. Feature set ${result.featureSetVersion}.\n`)
      printTable(
        ['stage', 'reads', 'group', 'keeps state'],
        result.stages.map((it) => [it.stage, it.topic, it.group, it.layout === null ? 'no' : `layout ${it.layout}`]),
      )
      printLine()
      printTable(
        ['topic', 'partitions', 'cleanup', 'kept'],
        result.topics.map((it) => [it.topic, it.partitions, it.cleanup, it.retention]),
      )
      printLine()
      printTable(
        ['feature', 'kind', 'entity', 'window', 'columns'],
        result.features.map((it) => [it.feature, it.kind, it.entity, it.window, it.columns]),
      )
      if (result.models.length === 0) return
      printLine()
      printTable(
        ['model', 'version', 'service', 'role', 'inputs', 'outputs'],
        result.models.map((it) => [
          it.model,
          it.version,
          it.service,
          it.role,
          it.inputs.join(' '),
          it.outputs.join(' '),
        ]),
      )
    })
}

interface BoundModel {
  readonly model: string
  readonly version: string
  readonly service: string
  readonly role: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

/** Loads the models and binds them to the feature set. @throws RtmlError MODEL_LOAD, MODEL_INPUT */
async function boundModels(plan: Plan): Promise<BoundModel[]> {
  if (plan.models.length === 0) return []
  return withScorer(plan, (scorer) =>
    scorer.serving().map(({ model, version, service, role, loaded }) => ({
      model,
      version,
      service,
      role,
      inputs: loaded.signature.inputs.map(({ name, type, dims }) => `${name}:${type}[${dims?.join(',') ?? '?'}]`),
      outputs: loaded.signature.outputs.map(({ name, type }) => `${name}:${type}`),
    })),
  )
}

function describe(plan: Plan, models: readonly BoundModel[]) {
  const { app, featureSet } = plan
  return {
    app: app.name,
    delivery: app.delivery,
    featureSetVersion: featureSet.version,
    stages: inputStages(plan).map(({ name, topic, group, layout }) => ({
      stage: name,
      topic,
      group,
      layout: layout ?? null,
    })),
    topics: topicSpecs(app).map(({ topic, partitions, cleanup, retentionMs }) => ({
      topic,
      partitions,
      cleanup,
      retention: retentionMs === undefined ? 'for ever' : formatDuration(retentionMs),
    })),
    features: Object.entries(app.features).map(([name, definition]) => ({
      feature: name,
      kind: definition.kind,
      entity: 'entity' in definition ? definition.entity : '–',
      window: windowText(app, name, definition),
      columns: featureSet.resolve(name)?.length ?? 0,
    })),
    models,
  }
}

/** `24h, hop 1h (+4.2 %)`: how much longer than asked the window may reach back. */
function windowText(app: Application, name: string, definition: FeatureDefinition): string {
  if (!('window' in definition)) return '–'
  const window = resolveWindow(definition.window, app.events, `features.${name}.window`)
  switch (window.type) {
    case 'sliding':
      return `${time(window.length)}, hop ${time(window.hop)} (+${((100 * window.hop) / window.length).toFixed(1)} %)`
    case 'tumbling':
      return `tumbling ${time(window.length)}`
    case 'session':
      return `session, gap ${time(window.gap)}`
    default:
      return 'lifetime'
  }
}

const time = (value: number) => formatDuration(ms(value))
