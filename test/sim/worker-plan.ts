import type { EntityKernel, FeatureSet, KeyState } from '../../processors/features/types.ts'
import type { Plan } from '../../processors/topology.ts'

/** What a mutant changes in a worker's kernels. */
export type KernelChange = (kernel: EntityKernel) => Pick<EntityKernel, 'update'>

/**
 * The plan as one process has it. Compiled code is shared by all processes and seeds; what a process has learnt is its
 * own: a kernel that was told of a layout in one process must not know it in another. Events called `poison…` show a
 * defect of the program: the kernel throws, every time.
 */
export function planOfProcess(plan: Plan, change?: KernelChange): Plan {
  const entities = new Map<string, EntityKernel>()
  for (const [name, kernel] of plan.featureSet.entities) entities.set(name, kernelOfProcess(kernel, change?.(kernel)))
  // The methods of a feature set use its private parts: they must be called on the set itself.
  const { featureSet: set } = plan
  const featureSet: FeatureSet = {
    version: set.version,
    columns: set.columns,
    floatCount: set.floatCount,
    stringCount: set.stringCount,
    entities,
    resolve: (name) => set.resolve(name),
    newVector: () => set.newVector(),
    vector: (inputs, into) => set.vector(inputs, into),
    ages: (inputs) => set.ages(inputs),
  }
  return { ...plan, featureSet }
}

export const isPoison = (entity: string, id: string): boolean =>
  id.startsWith(entity === 'profile' ? 'poison-' : `${entity}-poison-`)

function kernelOfProcess(kernel: EntityKernel, changed?: Pick<EntityKernel, 'update'>): EntityKernel {
  const known = new Set([kernel.layout.id])
  const update = changed ?? kernel
  return {
    entity: kernel.entity,
    layout: kernel.layout,
    addLayout(descriptor) {
      known.add(descriptor.id)
      kernel.addLayout(descriptor)
    },
    keys: (event) => kernel.keys(event),
    empty: () => kernel.empty(),
    decode(packed): KeyState {
      const id = packed.readUInt32LE(0)
      if (!known.has(id)) throw new Error(`the packed state has layout ${id}, which is unknown here`)
      return kernel.decode(packed)
    },
    encode: (state) => kernel.encode(state),
    update(state, event) {
      if (isPoison(kernel.entity, event.id)) throw new Error('a defect of the kernel')
      return update.update(state, event)
    },
    isExpired: (state, at) => kernel.isExpired(state, at),
  }
}
