/** Answers of the API: the very types that the server is held to. */
import type { z } from 'zod'
import type { deadLettersAnswer, profileAnswer, whyAnswer } from '../../processors/edge/schemas.ts'
import type { learnerAnswer, learnersAnswer } from '../../processors/edge/schemas-learning.ts'
import type { pushedAnswer, serviceDetail, servicesAnswer } from '../../processors/edge/schemas-models.ts'
import type {
  auditAnswer,
  deadLetterAnswer,
  featuresAnswer,
  liveFrame,
  newestAnswer,
  replayAnswer,
  sessionAnswer,
  sourcesAnswer,
  tryAnswer,
} from '../../processors/edge/schemas-operations.ts'
import type {
  changedAnswer,
  checkAnswer,
  historyAnswer,
  previewAnswer,
  replayAnswer as ruleReplayAnswer,
  rulesAnswer,
} from '../../processors/edge/schemas-rules.ts'
import type { ErasureReport } from '../../processors/privacy/report-schema.ts'

export type { ErasureReport }

export type Session = z.output<typeof sessionAnswer>
export type Frame = z.output<typeof liveFrame>
export type Sources = z.output<typeof sourcesAnswer>
export type Tried = z.output<typeof tryAnswer>
export type Newest = z.output<typeof newestAnswer>
export type Features = z.output<typeof featuresAnswer>
export type Feature = Features['features'][number]
export type Distribution = Features['scores'][number]['distribution']
export type Letters = z.output<typeof deadLettersAnswer>
export type Letter = z.output<typeof deadLetterAnswer>
export type Replayed = z.output<typeof replayAnswer>
export type Audit = z.output<typeof auditAnswer>
export type Profile = z.output<typeof profileAnswer>
export type Why = z.output<typeof whyAnswer>
export type Services = z.output<typeof servicesAnswer>
export type Service = z.output<typeof serviceDetail>
export type Pushed = z.output<typeof pushedAnswer>
export type Learners = z.output<typeof learnersAnswer>
export type Learner = z.output<typeof learnerAnswer>
export type Rules = z.output<typeof rulesAnswer>
export type RuleCheck = z.output<typeof checkAnswer>
export type RuleChanged = z.output<typeof changedAnswer>
export type RuleHistory = z.output<typeof historyAnswer>
export type RulePreview = z.output<typeof previewAnswer>
export type RuleReplay = z.output<typeof ruleReplayAnswer>
