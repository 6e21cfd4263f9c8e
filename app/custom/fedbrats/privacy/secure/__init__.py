"""Secure aggregation with pads: the server learns the weighted sum of a round, and no single update.

After Bonawitz et al. 2017 (doi 10.1145/3133956.3133982), for a few hospitals that have certificates: no secret is
shared out. An exchange has these steps, all through the server:

    site.announce                              a new key; open beside it: length and sketch of the update
    PadRequest -> site.meet                    the server has judged and weighed, and passes the keys on
               -> site.pad -> PaddedSum.take   the update, covered
    PaddedSum.close -> site.sign               everyone signs whose answers the server has
    site.reveal -> PaddedSum.release           the pads that no longer cancel, and the sum

No primitive is our own: X25519, HKDF, ChaCha20 and signatures are those of `cryptography`.
"""
