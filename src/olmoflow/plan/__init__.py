"""Memory, time and cost of a training run, estimated without its hardware.

- job            what is to be run, and on what
- live_bytes     the bytes that are alive at each operation, on tensors without data
- stand_ins      attention as a GPU would compute it, and compiled blocks, on such tensors
- memory         one step of the real model, loss and FSDP on a fake process group
- communication  bytes that the collectives of a step put on the links
- roofline       seconds of a step, from three constants
- calibration    the constants, fitted to Ai2's published throughput, and how far off they are
- estimate       all of it for one job
- advice         what to change where it does not fit

Only `memory`, `live_bytes` and `stand_ins` import torch.
"""
