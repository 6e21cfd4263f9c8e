"""Classes of a package outside fedbrats that a job may name: an aggregator, a network, a loss, hooks at the site.

Nothing is imported because a job or a model says so. What a process may import stands on a list that its owner made:
the person who typed the name, or the kit that a consortium provisioned.
"""
