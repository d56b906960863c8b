# The recipes: `./just` lists them, `./just RECIPE` runs one (CONTRIBUTING.md says when).
# Recipes run in the environment that setup/python finds or makes, whatever is active outside.

set positional-arguments
set shell := ["sh", "-eu", "-c"]

python := "./setup/python"

# A file's tests share what is dear to make, so one process runs them all. `test` takes the files in
# the order of their names: the flows in commands/, which take longest, do not come last.
by_file := "--numprocesses auto --dist loadfile"

[private]
default:
    @{{ quote(just_executable()) }} --list --unsorted

# Make the environment alone: setup [torch=cpu] [conda=no] [here=yes]
[group('use')]
setup *options:
    @{{ python }} --any setup/environment.py make "$@"

# Real text to a speaking model on a CPU: demo [key=value …]
[group('use')]
demo *overrides:
    @{{ python }} -m olmoflow flow flow=demo "$@"

# Serve a checkpoint with vLLM, in its own environment: vllm [NAME] [port=8000] [dtype=bfloat16]
[group('use')]
vllm *arguments:
    @{{ python }} setup/vllm.py "$@"

# Tests that need no root, no service and no GPU: test [pytest arguments]
[group('check')]
test *arguments:
    @{{ python }} -m pytest {{ by_file }} --maxprocesses 8 --no-loadscope-reorder "$@"

# Tests that need the network or services that root installs
[group('check')]
test-system *arguments:
    @{{ python }} -m pytest {{ by_file }} --maxprocesses 2 -m system "$@"

# Tests that need a CUDA device
[group('check')]
test-gpu *arguments:
    @{{ python }} -m pytest -m gpu "$@"

# Ruff and mypy
[group('check')]
lint:
    @{{ python }} -m ruff check .
    @{{ python }} -m ruff format --check .
    @{{ python }} -m mypy

# Bring the code into form
[group('check')]
format:
    @{{ python }} -m ruff check --fix .
    @{{ python }} -m ruff format .
    @{{ quote(just_executable()) }} --fmt --unstable

# Measure ours and the peers in one run: bench (train | data | tokenize | …)
[group('measure')]
bench name:
    @{{ python }} benchmarks/run.py "$@"

# Build the environments of the peers that `bench` compares with: bench-peers [NAME …]
[group('measure')]
bench-peers *names:
    @{{ python }} setup/peers.py "$@"

# Write constraints.txt from the environment, once its tests have passed
[group('keep')]
freeze:
    @{{ python }} setup/constraints.py

# Remove caches and build outputs; `clean environment` removes the environments too
[group('keep')]
clean what="caches":
    @{{ python }} --any setup/clean.py "$@"
