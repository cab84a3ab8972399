import { readFileSync } from 'node:fs'

/** What a process used while it worked. */
export interface Usage {
  readonly seconds: number
  /** User and system time of all threads. */
  readonly cpuSeconds: number
  /** Of it, on the main thread. */
  readonly mainSeconds: number
  /** Largest resident memory, mapped files included. */
  readonly peakRssMb: number
  /** Largest resident memory without mapped files, which the system takes back when it needs room. */
  readonly peakOwnMb: number
}

const LOOK_EVERY_MS = 250
const MIB = 2 ** 20

/** Measures this process from its construction on. */
export class Meter {
  readonly #startedAt = performance.now()
  readonly #cpu = process.cpuUsage()
  readonly #main = process.threadCpuUsage()
  readonly #timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref()
  #peakOwn = 0

  stop(): Usage {
    this.#look()
    clearInterval(this.#timer)
    const cpu = process.cpuUsage(this.#cpu)
    const main = process.threadCpuUsage(this.#main)
    return {
      seconds: (performance.now() - this.#startedAt) / 1_000,
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      mainSeconds: (main.user + main.system) / 1e6,
      peakRssMb: (status().get('VmHWM') ?? process.resourceUsage().maxRSS * 1_024) / MIB,
      peakOwnMb: this.#peakOwn / MIB,
    }
  }

  #look(): void {
    this.#peakOwn = Math.max(this.#peakOwn, status().get('RssAnon') ?? process.memoryUsage().rss)
  }
}

/** Sizes of /proc/self/status in bytes; empty where there is no such file. */
function status(): Map<string, number> {
  try {
    const lines = readFileSync('/proc/self/status', 'utf8').matchAll(/^(\w+):\s+(\d+) kB$/gm)
    return new Map([...lines].map(([, name, kib]) => [name!, Number(kib) * 1_024]))
  } catch {
    return new Map()
  }
}
