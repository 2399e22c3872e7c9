"""Statistics of a cohort: proportions, time to event, agreement of readers, probability of a response."""
