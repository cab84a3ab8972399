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
  return { ...plan, featureSet: around<FeatureSet>(plan.featureSet, { entities }) }
}

export const isPoison = (entity: string, id: string): boolean =>
  id.startsWith(entity === 'profile' ? 'poison-' : `${entity}-poison-`)

function kernelOfProcess(kernel: EntityKernel, changed: Pick<EntityKernel, 'update'> = kernel): EntityKernel {
  const known = new Set([kernel.layout.id])
  return around<EntityKernel>(kernel, {
    addLayout(descriptor) {
      known.add(descriptor.id)
      kernel.addLayout(descriptor)
    },
    decode(packed): KeyState {
      const id = packed.readUInt32LE(0)
      if (!known.has(id)) throw new Error(`the packed state has layout ${id}, which is unknown here`)
      return kernel.decode(packed)
    },
    update(state, event) {
      if (isPoison(kernel.entity, event.id)) throw new Error('a defect of the kernel')
      return changed.update(state, event)
    },
  })
}

/** An object with some members replaced. Methods of the original use its private parts, so they stay bound to it. */
function around<T extends object>(original: T, replaced: Partial<T>): T {
  const made = { ...original } as Record<string, unknown>
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(original))) {
    const member = original[name as keyof T]
    if (typeof member === 'function' && name !== 'constructor') made[name] = member.bind(original)
  }
  return { ...made, ...replaced } as T
}
