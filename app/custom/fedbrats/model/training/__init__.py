"""Training: a round, its loss, its optimiser, its scores, and what a method may change of it."""
