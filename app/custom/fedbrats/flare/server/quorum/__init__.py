"""A round with a quorum in FLARE; `fedbrats.federation.participation` has the rule, `federation.quorum` the course."""
