"""Commands about models: train, evaluate, predict, personalise, export."""
