"""Federations without a network: quadratic hospitals, trouble-makers, and the aggregation methods to compare."""
