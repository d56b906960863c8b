"""Training data made with models: preference pairs, and documents written anew.

- prompt       conversations up to the user's last turn
- recipe       what is done for one prompt: questions to speakers, and a pair or a reason at the end
- recipes/     delta learning, judged pairs, several turns, verified answers
- rounds       the recipes of all prompts side by side, a speaker at a time
- transcript   answers on the disk, each kept as it comes
- instruction, instructions/    what judges and writers are told, as files
- judge        scores and preferences read out of what a judge says
- selection    filters and the control of length, every removal counted and sampled
- curation     curation's map operations as filters of the chosen answers
- pair_files   pairs as preference rows
- pair_report  what a run took and left
- passages     documents cut into what a model can read whole
- passage_reader  those of a corpus
- rewriting    passages written anew, and which answers become documents
- rewrite_report  what a run of that took and left
- step_report  steps in the form of curation's report
"""
