"""Secure aggregation at the server: sites offer, the server weighs, and only a sum arrives."""
