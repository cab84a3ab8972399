/** Importance of an example: what makes a biased stream of examples teach the true rate. */

/**
 * Fake-negative weighting: every sample is learned as a negative at once, and again as a positive when its outcome comes,
 * so the learner sees b(y = 1) = p/(1 + p). Weights relative to p give back p.
 * Source: Ktena et al., "Addressing Delayed Feedback for Continuous Training with Neural Networks in CTR prediction",
 * RecSys 2019. p̂ is the model's own prediction now, not differentiated.
 * @returns 1 + p̂ for a positive, (1 − p̂)(1 + p̂) for a negative
 */
export function fakeNegativeWeight(y: number, prediction: number): number {
  return y === 1 ? 1 + prediction : (1 - prediction) * (1 + prediction)
}

/** Fake-negative calibration: a model that learned the biased stream without weights says b; the true rate is b/(1 − b), b < 0.5. */
export const fakeNegativeRate = (biased: number): number => (biased >= 0.5 ? 1 : biased / (1 - biased))

/**
 * A model that learned all positives and a share of the negatives, unweighted, says p; the true rate is lower.
 * Source: He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014: q = p/(p + (1 − p)/r).
 */
export function negativeSamplingRate(prediction: number, share: number): number {
  return prediction / (prediction + (1 - prediction) / share)
}
