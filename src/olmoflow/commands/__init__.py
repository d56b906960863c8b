"""Commands: each resolves its config, calls its room and writes the artifact.

`main` dispatches. A command of one module is a file here; one of several is a folder, whose
`command` is the entry. What commands share: `command_line` (Hydra's app, help, free text, bars),
`config` (what a composed config says), `inputs` (artifacts found and opened) and `launching`
(ranks, SLURM jobs). Nothing here imports torch before a command needs it, so that help and errors
are instant; the ``__init__`` files import nothing at all.
"""
