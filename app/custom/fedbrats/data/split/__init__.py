"""Share cases out to sites and folds."""
