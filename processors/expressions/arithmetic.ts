import { DateValue } from './dates/date-value.ts'
import { refuse } from './errors.ts'
import { checkListLength, checkTextLength, normalizeInteger, show } from './values.ts'

export type ArithmeticOperator = '+' | '-' | '*' | '/' | '%'

/**
 * `a op b` for two values that are not null. All numbers are doubles, as in JSON: `7 / 2` is 3.5. Whole numbers beyond 2^53 stay exact as
 * bigint. `+` joins texts and lists; a date plus or minus milliseconds is a date; date − date is milliseconds.
 * @throws ExpressionError `type` for other operands, `argument` for a division by zero and for a result that isn't finite
 */
export function arithmetic(operator: ArithmeticOperator, a: unknown, b: unknown): unknown {
  if (typeof a === 'number' && typeof b === 'number') return finite(operator, onNumbers(operator, a, b))
  if (operator === '+') {
    if (typeof a === 'string' && typeof b === 'string') return joinTexts(a, b)
    if (Array.isArray(a) && Array.isArray(b)) return joinLists(a, b)
  }
  if (a instanceof DateValue || b instanceof DateValue) return onDates(operator, a, b)
  if (isNumeric(a) && isNumeric(b)) return onLarge(operator, a, b)
  refuse('type', `${show(a)} ${operator} ${show(b)} has no meaning.${remedy(operator, a, b)}`)
}

function isNumeric(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

function onNumbers(operator: ArithmeticOperator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return b === 0 ? divisionByZero() : a / b
    case '%':
      return b === 0 ? divisionByZero() : a % b
  }
}

function finite(operator: ArithmeticOperator, value: number): number {
  if (Number.isFinite(value)) return value
  refuse('argument', `The result of ${operator} isn't a finite number. Check the operands for NaN, or bound them.`)
}

function divisionByZero(): never {
  refuse('argument', 'Division by zero. Guard it: iif(b == 0, null, a / b).')
}

function joinTexts(a: string, b: string): string {
  checkTextLength(a.length + b.length)
  return a + b
}

function joinLists(a: readonly unknown[], b: readonly unknown[]): unknown[] {
  checkListLength(a.length + b.length)
  return a.concat(b)
}

function onDates(operator: ArithmeticOperator, a: unknown, b: unknown): unknown {
  if (operator === '-' && a instanceof DateValue && b instanceof DateValue) return a.epochMs - b.epochMs
  if (a instanceof DateValue && typeof b === 'number' && (operator === '+' || operator === '-'))
    return a.plusMs(operator === '+' ? b : -b)
  if (operator === '+' && typeof a === 'number' && b instanceof DateValue) return b.plusMs(a)
  refuse(
    'type',
    `${show(a)} ${operator} ${show(b)} has no meaning. A date takes + or − milliseconds, or − another date.`,
  )
}

/** At least one bigint. Exact while both are whole; a fraction makes it a double. */
function onLarge(operator: ArithmeticOperator, a: number | bigint, b: number | bigint): unknown {
  if (!isWhole(a) || !isWhole(b)) return finite(operator, onNumbers(operator, Number(a), Number(b)))
  const left = BigInt(a)
  const right = BigInt(b)
  if (right === 0n && (operator === '/' || operator === '%')) divisionByZero()
  switch (operator) {
    case '+':
      return normalizeInteger(left + right)
    case '-':
      return normalizeInteger(left - right)
    case '*':
      return normalizeInteger(bounded(left * right))
    case '/':
      return left % right === 0n ? normalizeInteger(left / right) : Number(left) / Number(right)
    case '%':
      return normalizeInteger(left % right)
  }
}

function isWhole(value: number | bigint): boolean {
  return typeof value === 'bigint' || Number.isInteger(value)
}

/** Products stay inside 128 bits, so that repeated multiplication can't grow without bound. */
function bounded(value: bigint): bigint {
  if (value > -(1n << 127n) && value < 1n << 127n) return value
  refuse('limit', 'The product is beyond 128 bits.')
}

function remedy(operator: ArithmeticOperator, a: unknown, b: unknown): string {
  if (operator === '+' && (typeof a === 'string' || typeof b === 'string'))
    return ' + joins texts with texts: use string(…), or concat(…), which takes both.'
  if (typeof a === 'string' || typeof b === 'string') return ' Use to_decimal(…) on the text.'
  return ''
}
