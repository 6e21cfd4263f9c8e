"""What keeps a federation healthy: the doctor and what an operator needs."""
