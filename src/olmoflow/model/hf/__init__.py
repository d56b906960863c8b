"""Olmo 3 as Hugging Face `transformers` stores it (model type `olmo3`), out and in.

- names     tensor names on both sides
- config    `config.json`: written in the form of transformers 5, read in that and in the older one
- export    a checkpoint to a folder that `AutoModelForCausalLM` and `AutoTokenizer` load
- load      such a folder, or a repository of the Hub, to our config and tensors

Transformers itself is not needed for either. Tensors pass one at a time (in), one file's worth at
a time (out), so a model may be larger than memory. transformers 5.0 to 5.12 apply YaRN to every
layer and so run long-context models of this family wrongly; 4.57 and 5.13 onwards are right.
"""

from olmoflow.model.hf.export import export_hf, write_weights
from olmoflow.model.hf.load import HuggingFaceModel, import_hf

__all__ = ["HuggingFaceModel", "export_hf", "import_hf", "write_weights"]
