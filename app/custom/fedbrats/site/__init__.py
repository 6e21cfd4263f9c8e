"""One local round at a site, from received weights to an answer. No nvflare."""
