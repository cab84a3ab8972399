import { Command } from 'commander'
import { printJson, printTable } from './output.ts'
import { type EngineOptions, examples, withEngine, withOpenEngine } from './shared.ts'

export function topicsCommand(): Command {
  return withEngine(new Command('topics'))
    .description('list the topics of the log with their bounds')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rtml topics', 'KAFKA_BROKERS=localhost:9092 rtml topics --json'))
    .action((options: EngineOptions & { json?: true }) =>
      withOpenEngine(options, async (_opened, engine) => {
        const topics = []
        for (const topic of await engine.log.topics()) {
          const bounds = await engine.log.bounds(topic)
          topics.push({
            topic,
            partitions: bounds.map(({ partition, start, end }) => ({ partition, start, end })),
            kept: bounds.reduce((sum, { start, end }) => sum + end - start, 0),
          })
        }
        if (options.json) printJson({ topics })
        else
          printTable(
            ['topic', 'partitions', 'kept'],
            topics.map(({ topic, partitions, kept }) => [topic, partitions.length, kept]),
          )
      }),
    )
}
