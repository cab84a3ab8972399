/** What an error says. */
export const text = (error: unknown): string => (error instanceof Error ? error.message : String(error))
