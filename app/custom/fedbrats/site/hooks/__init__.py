"""What methods change of a local round: each is a hook, and trainer, round and executor know none of them by name."""
