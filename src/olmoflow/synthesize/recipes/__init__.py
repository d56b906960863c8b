"""The recipes: from a prompt to a pair.

- delta_learning  a strong and a weak model answer
- judged_pairs    several models answer, a judge takes the best and the worst
- multi_turn      turns are written before the one in which two models differ
- verified        one model answers several times, a verifier tells right from wrong
"""
