"""Training: a round (`trainer.py`), its loss, its optimiser, its scores, and what a method may change of it."""
