"""Between the command line and a command: Hydra's app, help, free text, progress bars, groups."""
