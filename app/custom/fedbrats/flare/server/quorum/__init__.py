"""A round with a quorum: FLARE's side of `fedbrats.federation.quorum`."""
