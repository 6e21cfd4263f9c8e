"""Privacy that can be checked: private sums with an account of what they cost, and an audit.

`secure` is a protocol of secure aggregation, for jobs with `secure=pads`.
"""
