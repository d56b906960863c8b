"""Models that are asked in messages and answer in text: our engines and chat endpoints alike.

- speaker     the protocol: conversations in, answers out
- endpoint    a server that speaks OpenAI's chat protocol
- templated   an engine behind a chat template
"""

from olmoflow.inference.chat.speaker import (
    Answer,
    Failure,
    Question,
    Reply,
    Speaker,
    Unaskable,
)

__all__ = ["Answer", "Failure", "Question", "Reply", "Speaker", "Unaskable"]
