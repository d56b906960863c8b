"""One module per command: resolve the config, call the room, write the artifact.

`main` dispatches, `hydra_app` composes the config, `build` turns its nodes into objects. Nothing
here imports torch before a command needs it, so that help and errors are instant.
"""
