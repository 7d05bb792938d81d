"""Error rate and omission rate of a prediction, with intervals and the thresholds they imply.

A customer is *flagged* when the score is at least the threshold. The error rate (错误率) is the
share of the flagged that should not have been, 1 - precision; the omission rate (遗漏率) is the
share of those to be found that were missed, 1 - recall. A rate with nothing in its denominator
is NaN.
"""
