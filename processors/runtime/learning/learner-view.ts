import type { Application } from '../../app/schema.ts'
import type { TopicNames } from '../../app/topics.ts'
import type { FeatureStore } from '../../engine/ports.ts'
import { STATUS_KEY, type StoredStatus } from './learner-task.ts'
import { learnerShard } from './learning-service.ts'

/**
 * What a learner's last checkpoint says, in whatever process it runs.
 * @returns undefined: it has not learned yet
 * @throws RtmlError STORE_DOWN
 */
export async function readLearner(
  store: FeatureStore,
  { app, topics }: { readonly app: Application; readonly topics: TopicNames },
  name: string,
): Promise<StoredStatus | undefined> {
  const [status] = await store.load(learnerShard(app, topics, name), [STATUS_KEY])
  return status && (JSON.parse(status.toString()) as StoredStatus)
}
