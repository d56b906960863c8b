"""A chat endpoint that is busy, slow, broken or gone: what passes is asked again, and no more."""

import json
import threading
import time
from collections import Counter

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer, Failure, Question
from olmoflow.inference.chat.endpoint import ChatEndpoint
from olmoflow.inference.sampling import Sampling
from olmoflow.tokens.chat.conversation import Message


def question(text, **settings):
    return Question((Message("user", text),), 8, **settings)


def whole(text, reason="stop", **message):
    choice = {"message": {"content": text, **message}, "finish_reason": reason}
    return {"choices": [choice], "usage": {"completion_tokens": 3}}


@pytest.fixture
def ask(chat_server):
    opened = []

    def answers(*texts, **settings):
        opened.append(ChatEndpoint(chat_server.url, "m", **{"backoff": 0.01, **settings}))
        return dict(opened[-1].answer([question(text) for text in texts]))

    yield answers
    for endpoint in opened:
        endpoint.close()


def test_messages_and_sampling_go_out_as_the_protocol_has_them(chat_server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    endpoint = ChatEndpoint(
        chat_server.url, "m", api_key_env="SOME_KEY", body={"seed": None, "more": {"x": 1}}
    )
    turns = (Message("system", "be brief"), Message("user", "hi"))
    asked = Question(turns, 8, Sampling(0.5, 0.9), seed=7)
    assert dict(endpoint.answer([asked])) == {0: Answer("m on hi", 3, "stop")}
    endpoint.close()
    (body,) = chat_server.asked
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
        ],
        "max_tokens": 8,
        "temperature": 0.5,
        "top_p": 0.9,
        "more": {"x": 1},
    }
    assert chat_server.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {"error": {"message": "slow down"}}),
        (500, b"oops"),
        (503, {"detail": "loading"}),
        (200, b"{not json"),
        (200, {"choices": []}),
        (200, {"answer": "?"}),
        None,
    ],
)
def test_what_may_pass_is_asked_again(chat_server, ask, trouble):
    seen = Counter()

    def say(body):
        text = body["messages"][-1]["content"]
        seen[text] += 1
        return trouble if text == "a" and seen["a"] <= 4 else f"to {text}"

    chat_server.say = say
    found = ask("a", "b")
    assert {n: reply.text for n, reply in found.items()} == {0: "to a", 1: "to b"}
    assert seen["a"] >= 5
    assert seen["b"] == 1


def test_what_does_not_pass_fails_this_question_alone(chat_server, ask):
    chat_server.say = lambda body: (
        (500, b"oops") if body["messages"][-1]["content"] == "a" else "fine"
    )
    found = ask("a", "b", retries=2)
    assert found[0] == Failure("status 500: oops (3 attempts)")
    assert found[1].text == "fine"


def test_a_request_that_is_refused_is_not_repeated(chat_server, ask):
    chat_server.say = lambda body: (400, {"error": {"message": "too\nlong"}})
    assert ask("a") == {0: Failure("status 400: too long")}
    assert len(chat_server.asked) == 1


def test_the_server_says_how_long_to_wait(chat_server, ask):
    times = []

    def say(body):
        times.append(time.monotonic())
        return (429, b"", {"Retry-After": "0.4"}) if len(times) == 1 else "fine"

    chat_server.say = say
    assert ask("a")[0].text == "fine"
    assert times[1] - times[0] >= 0.4


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(chat_server, ask):
    over = threading.Event()

    def say(body):
        if len(chat_server.asked) == 1:
            over.wait(60)
        return "fine"

    chat_server.say = say
    assert ask("a", timeout=1.0, retries=60)[0].text == "fine"
    over.set()
    assert len(chat_server.asked) > 1


@pytest.mark.parametrize("status", [401, 404])
def test_a_key_or_model_that_is_refused_ends_the_work(chat_server, ask, status):
    chat_server.say = lambda body: (status, {"error": {"message": "no such thing"}})
    with pytest.raises(UserError, match=f"engine.url={chat_server.url}, model m: status {status}"):
        ask("a")


def test_no_server_is_one_line():
    endpoint = ChatEndpoint("http://127.0.0.1:9/v1", "m", retries=1, backoff=0.01)
    with pytest.raises(UserError, match=r"127\.0\.0\.1:9/v1: no server answers"):
        list(endpoint.answer([question("a")]))
    endpoint.close()


def test_reasoning_that_the_server_took_out_comes_back(chat_server, ask):
    chat_server.say = lambda body: (200, whole("\n\n4", reasoning_content="2 + 2"))
    assert ask("a")[0].text == "<think>2 + 2</think>\n\n4"
    assert ask("a", thinking="drop")[0].text == "4"
    chat_server.say = lambda body: (200, whole(None, "length", reasoning="2 +"))
    assert ask("a")[0] == Answer("<think>2 +", 3, "length")


def test_the_beginning_that_the_servers_template_says_comes_back(chat_server, ask):
    chat_server.say = lambda body: "2 + 2</think>4"
    assert ask("a", begun_with="<think>")[0].text == "<think>2 + 2</think>4"


def test_what_the_server_filtered_is_no_answer(chat_server, ask):
    chat_server.say = lambda body: (200, whole("", "content_filter"))
    assert ask("a") == {0: Failure("the server gave up (content_filter)")}


def test_functions_are_not_dropped_silently(chat_server):
    endpoint = ChatEndpoint(chat_server.url, "m")
    turns = (Message("system", "s", functions="[…]"), Message("user", "hi"))
    (found,) = endpoint.answer([Question(turns, 8)])
    endpoint.close()
    assert "functions" in found[1].reason
    assert not chat_server.asked


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"model": None}, "engine.model"),
        ({"model": "m", "thinking": "yes"}, "engine.thinking=yes"),
        ({"model": "m", "api_key_env": "NO_SUCH_KEY"}, "engine.api_key_env=NO_SUCH_KEY"),
        ({"model": "m", "concurrency": 0}, "engine.concurrency=0"),
    ],
)
def test_settings_without_meaning_are_named(settings, named):
    with pytest.raises(UserError, match=named):
        ChatEndpoint("http://127.0.0.1:9/v1", **settings)


def test_many_are_open_at_once_and_no_more(chat_server, ask):
    open_, most = [], []
    four = threading.Barrier(4)

    def say(body):
        open_.append(1)
        most.append(len(open_))
        four.wait(60)  # nobody is answered before four are there
        time.sleep(0.03)  # in which a fifth could come
        open_.pop()
        return json.dumps(body["messages"])

    chat_server.say = say
    assert len(ask(*map(str, range(24)), concurrency=4)) == 24
    assert max(most) == 4
