/** From definition to learner, and from checkpoint to learner. A new kind is one line in each table. */
import type { LearnerDefinition } from '../app/schema-learning.ts'
import { kindOfState } from './bytes.ts'
import { CALIBRATED, Calibrated } from './calibration/calibrated.ts'
import { FOREST, Forest } from './forest.ts'
import { FTRL, Ftrl } from './ftrl.ts'
import { MLP, Mlp } from './mlp.ts'
import type { InputColumn, Learner, Task } from './types.ts'

const DECODERS: Readonly<Record<string, (bytes: Uint8Array) => Learner>> = {
  [FTRL]: Ftrl.decode,
  [MLP]: Mlp.decode,
  [FOREST]: Forest.decode,
  [CALIBRATED]: (bytes) => Calibrated.decode(bytes, decodeLearner),
}

/** A learner that has seen nothing. @throws RangeError when the settings can't work */
export function createLearner(
  definition: Pick<LearnerDefinition, 'kind' | 'ftrl' | 'mlp' | 'forest' | 'calibration'>,
  inputs: readonly InputColumn[],
  task: Task,
): Learner {
  const plain = createPlain(definition, inputs, task)
  return definition.calibration === 'none' ? plain : new Calibrated(plain, { method: definition.calibration })
}

function createPlain(
  { kind, ftrl, mlp, forest }: Pick<LearnerDefinition, 'kind' | 'ftrl' | 'mlp' | 'forest'>,
  inputs: readonly InputColumn[],
  task: Task,
): Learner {
  switch (kind) {
    case 'ftrl':
      return new Ftrl({ inputs, task, ...ftrl })
    case 'mlp':
      return new Mlp({ inputs, task, ...mlp })
    case 'forest':
      return new Forest({ inputs, task, ...forest })
  }
}

/** Goes on from a checkpoint. @throws Error when the bytes are damaged, or of an unknown kind */
export function decodeLearner(bytes: Uint8Array): Learner {
  const kind = kindOfState(bytes)
  const decode = DECODERS[kind]
  if (!decode) throw new Error(`the checkpoint is of a learner of kind ${JSON.stringify(kind)}, which is unknown here`)
  return decode(bytes)
}
