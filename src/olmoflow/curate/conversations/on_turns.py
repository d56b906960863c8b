"""Any operation on texts, applied to some turns of a conversation: the answers, say."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from olmoflow.curate.conversations.turns import check_which, texts_of
from olmoflow.curate.operations.operation import Operation, Outcome
from olmoflow.curate.schema import with_field
from olmoflow.errors import UserError

_STEP = "on_turns"


class OnTurns:
    """Lets an operation see what some of the turns say as the document's text.

    So every filter and annotator works on a side of a conversation: lengths of answers, languages
    of questions, topics of prompts. Where there is no such turn, the text is empty.

    Args:
        step: The operation, as a pipeline has it: ``{name: page_len_filter, length_type: word}``.
        turns: Which turns it sees, by a name of `turns.WHICH`.

    Raises:
        UserError: The step is none, or no map operation.
    """

    def __init__(self, step: dict[str, Any], turns: str = "assistant") -> None:
        from olmoflow.curate.pipeline.plan import steps_of

        check_which(_STEP, turns)
        (found,) = steps_of([step], f"{_STEP}.step")
        if found.kind != "map":
            raise UserError(f"{_STEP}.step.name={step['name']}: expected a map operation")
        self.name, self.turns = found.label, turns
        self._operation: Operation = found.build()

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        text = documents.column("text")
        seen = pa.chunked_array([pa.array(texts_of(documents, self.turns), pa.large_string())])
        found = self._operation(with_field(documents, "text", seen))
        if not found.documents.column("text").equals(seen):
            raise UserError(f"{_STEP}: {self.name} changes texts; expected a filter or annotator")
        whole = with_field(found.documents, "text", text)
        return Outcome(whole, found.keep, found.errors, found.reasons)
