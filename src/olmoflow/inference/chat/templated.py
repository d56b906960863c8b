"""An engine behind a chat template: messages to token ids, and its tokens to an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from olmoflow.errors import UserError
from olmoflow.inference.chat.speaker import Answer, Failure, Question, Reply, Unaskable
from olmoflow.inference.engine import Completion, Engine, GenerationRequest
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.forging import forgery, forging_tokens
from olmoflow.tokens.chat.spans import find_frame
from olmoflow.tokens.chat.template import ChatTemplate, unshown_functions
from olmoflow.tokens.tokenizer import Tokenizer


class TemplatedSpeaker:
    """A `Speaker` over an `Engine`.

    Where a template's generation prompt ends with the beginning of an answer, such as
    ``<think>``, the answer's text begins with that too.

    Args:
        engine: Closed with the speaker.
        tokenizer: The model's.
        template: With which the model was trained.

    Raises:
        UserError: The tokenizer lacks the template's special tokens, or the template marks no turns
            of an assistant.
    """

    def __init__(self, engine: Engine, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        template.check(tokenizer)
        self.engine, self.tokenizer = engine, tokenizer
        self.template = template.with_tokens_of(tokenizer)
        frame = find_frame(self.template)
        asked = self.template.render([Message("user", "?")], add_generation_prompt=True)
        self._begun = asked.rpartition(frame.opener + frame.header)[2]
        self._forging = forging_tokens(self.template, frame)
        closers = [tokenizer.special_id(text) for text in frame.closers]
        self._stops = frozenset({tokenizer.eos_id, *(id_ for id_ in closers if id_ is not None)})

    def answer(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """See `Speaker.answer`."""
        numbers: list[int] = []
        requests: list[GenerationRequest] = []
        for number, question in enumerate(questions):
            request = self._request(question)
            if isinstance(request, Failure):
                yield number, request
            else:
                numbers.append(number)
                requests.append(request)
        for completion in self.engine.generate(requests):
            yield numbers[completion.request], self._read(completion)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def _request(self, question: Question) -> GenerationRequest | Failure:
        for message in question.messages:
            if reason := forgery(message, self._forging):
                return Unaskable(f"a message {reason}")
        try:
            text = self.template.render(question.messages, add_generation_prompt=True)
        except UserError as error:  # a template may refuse some orders of turns
            return Failure(str(error))
        if unshown_functions(question.messages, text):
            return Unaskable("a message names functions, which the template does not show")
        ids = self.tokenizer.encode(text)
        room = self.engine.max_length - len(ids)
        if room < 1:
            return Failure("the conversation is longer than the model can read")
        return GenerationRequest(
            ids,
            min(question.max_new_tokens, room),
            question.sampling,
            seed=question.seed,
            stop_ids=self._stops,
        )

    def _read(self, completion: Completion) -> Answer:
        ids = completion.token_ids
        said = ids[:-1] if ids and ids[-1] in self._stops else ids
        # Tokens such as <function_calls> are part of what is said.
        text = self._begun + self.tokenizer.decode(said)
        return Answer(text, len(ids), completion.finish_reason)
