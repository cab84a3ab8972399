/** Bounds of one expression. Reaching one is an ExpressionError of kind `limit`, never a hang or a crash. */

/** Characters of an expression's source. */
export const MAX_SOURCE_LENGTH = 16_384
/** Nodes of the parsed tree. */
export const MAX_NODES = 4_000
/** Nesting of the parsed tree, after chains of one operator (`a || b || c`, `a + b + c`) are flattened. */
export const MAX_DEPTH = 100
/** Arguments of one call; `decode` with a long table is the largest user. */
export const MAX_ARGUMENTS = 512
/** Entries of one list or map literal. */
export const MAX_LITERAL_ENTRIES = 2_000
/** UTF-16 units of a text that an expression may build. */
export const MAX_TEXT_LENGTH = 1_048_576
/** Elements of a list that an expression may build. */
export const MAX_LIST_LENGTH = 100_000
/** Levels of a value that comparing, hashing into text and printing will follow. */
export const MAX_VALUE_DEPTH = 64
/** Characters of a regular expression or a date pattern. */
export const MAX_PATTERN_LENGTH = 1_000
/**
 * Units of work of one evaluation: a step of a comprehension costs 1, other functions in proportion to what they read and write.
 * A unit is at most some tens of nanoseconds, so an evaluation ends within about a tenth of a second whatever it is given.
 */
export const MAX_WORK = 1_000_000
