"""Privacy that can be checked: private sums with an account of what they cost, secure aggregation, and an audit."""
