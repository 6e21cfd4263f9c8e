"""Commands about jobs and their results."""
