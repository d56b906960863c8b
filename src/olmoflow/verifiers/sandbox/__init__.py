"""Programs of unknown making, run where they can do no harm.

- isolation      which isolation this machine gives, found out by trying
- runner         starts a confined interpreter for each program, watches and ends it
- outcome        what a program may take, and how it ended
- surroundings   the settings, environment and folders that it finds
- usage          what it has taken where no limit of the kernel counts it
- channel        talking to a process that may say anything, or nothing
- guard          tests rewritten so that a program cannot answer their comparisons itself

Imported by the interpreter that runs programs, which knows nothing of olmoflow:

- inside         confines itself, then runs the program
- confine        limits, files, system calls, in this order
- landlock       which files may be opened
- namespaces     the same for kernels without Landlock
- seccomp        which system calls may be made; `syscalls` has their numbers
- equality       the comparisons that `guard` puts into tests
"""
