"""Numbers from responses.

- likelihood  accuracies under five normalisations, bits per byte of the gold answer
- answers     exact match, F1 and recall of short answers: SQuAD's and DROP's
- sampling    pass@k and maj@k of several samples
"""
