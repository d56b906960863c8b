"""How much of what: proportions of the domains that a training mix is made of.

- domains       a domain and its tokens; several frozen into one
- proportions   natural, fixed and token-constrained proportions
- swarm         mixtures drawn around a prior, for proxies to be trained on
- law           scores as a function of the mixture, fitted to a swarm
- proposer      the mixture that a law and the caps make best
- files         a mixture as a file of our own, and as OLMo-core's

A mixture is an array [domains] of proportions that sum to 1.
"""
