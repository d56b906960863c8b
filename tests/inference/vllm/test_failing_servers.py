"""Servers that are no vLLM server, or not any more: one line says what is wrong.

What a real server answers is tested in tests/system/test_vllm.py.
"""

import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from olmoflow.artifact import Input
from olmoflow.commands.inputs.engines import open_engine
from olmoflow.errors import UserError
from olmoflow.inference.engine import GenerationRequest, ScoreRequest
from olmoflow.inference.vllm import VLLMEngine

MODELS = {"data": [{"id": "m@4", "root": "/nowhere", "max_model_len": 32}]}
INFO = {
    "vllm_config": {"model_config": {"dtype": "torch.float32", "logprobs_mode": "raw_logprobs"}}
}
NO_SUCH_TOKEN = {"error": {"message": "token_id(s) [9] out-of-vocab. Vocabulary size: 50"}}


class Server:
    """Answers with what `answers` has for a path: a status and a body, or a function."""

    def __init__(self):
        self.answers = {"/v1/models": (200, MODELS), "/inference/v1/generate": self.generate}
        self.then = (200, {"choices": []})
        self.asked, self.over = threading.Event(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805
                body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                found = self.answers.get(handler.path, (404, {"detail": "Not Found"}))
                status, content = found(json.loads(body)) if callable(found) else found
                if content is None:
                    handler.close_connection = True
                    handler.connection.shutdown(socket.SHUT_RDWR)
                    return
                raw = content if isinstance(content, bytes) else json.dumps(content).encode()
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked may be gone
                    handler.send_response(status)
                    handler.send_header("Content-Length", str(len(raw)))
                    handler.end_headers()
                    handler.wfile.write(raw)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def generate(self, body):
        return (400, NO_SUCH_TOKEN) if "logit_bias" in body["sampling_params"] else self.then

    def silent(self, _):
        """An answer that does not come as long as the test runs; `asked` says that it is due."""
        self.asked.set()
        self.over.wait(600)
        return (200, {})


@pytest.fixture
def server():
    server = Server()
    yield server
    server.over.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def opened(server):
    engines = []

    def make(**settings):
        engines.append(VLLMEngine(server.url, **settings))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def first(engine, **changes):
    request = GenerationRequest(**{"prompt_ids": [1, 2], "max_new_tokens": 3, **changes})
    return next(iter(engine.generate([request])))


@pytest.mark.parametrize(("ids", "said"), [(48, True), (50, False), (None, False)])
def test_rows_that_pad_the_vocabulary_are_named(opened, capfd, ids, said):
    """The server counts them in every log-probability; the other engines do not."""
    opened(tokenizer=None if ids is None else SimpleNamespace(vocab_size=ids))
    lines = capfd.readouterr().err.splitlines()
    assert bool(lines) == said
    assert not said or "has 50 rows for its tokenizer's 48 ids; vLLM gives the other 2" in lines[0]


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"engine.url={url}: no server answers .*just vllm"):
            VLLMEngine(url)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "localhost", "ftp://a"])
def test_no_url(url):
    with pytest.raises(UserError, match=f"engine.url={url}: expected a URL such as http://"):
        VLLMEngine(url)


def test_another_kind_of_server(server):
    server.answers = {}
    with pytest.raises(UserError, match="/v1/models: status 404: Not Found"):
        VLLMEngine(server.url)
    server.answers = {"/v1/models": (200, b"<html>hello</html>")}
    with pytest.raises(
        UserError, match=r"/v1/models: not the answer of a vLLM 0.32 server: .*JSON"
    ):
        VLLMEngine(server.url)
    server.answers = {"/v1/models": (200, {"data": [{"id": "m"}]})}
    with pytest.raises(UserError, match=r"data\.0\.root: Field required"):
        VLLMEngine(server.url)


def test_a_server_with_other_settings(server):
    server.answers["/inference/v1/generate"] = (
        403,
        {"error": {"message": "Scale-out endpoints are disabled. Restart with --enable-scale-out"}},
    )
    with pytest.raises(UserError, match="status 403: Scale-out endpoints are disabled"):
        VLLMEngine(server.url)
    processed = json.loads(json.dumps(INFO).replace("raw_", "processed_"))
    server.answers["/weight_info"] = (200, {"weight_version": "default"})
    server.answers["/server_info?config_format=json"] = (200, processed)
    with pytest.raises(
        UserError, match="--logprobs-mode processed_logprobs; expected raw_logprobs"
    ):
        VLLMEngine(server.url)


def test_a_server_with_another_model_or_other_weights(server, opened):
    checkpoint = Input("checkpoint", "checkpoint", "m", "0123456789ab", Path("/nowhere"), 4)
    config = {"_target_": "olmoflow.inference.vllm.VLLMEngine", "url": server.url}
    with pytest.raises(UserError, match="serves m@4, but the checkpoint is 0123456789ab@4"):
        open_engine(config, checkpoint, {})
    server.answers["/weight_info"] = (200, {"weight_version": "7-abc"})
    server.answers["/server_info?config_format=json"] = (200, INFO)
    assert opened().version == 0  # whoever names no model takes it as it is
    with pytest.raises(UserError, match="the weights of m@4 were replaced there by 7-abc"):
        VLLMEngine(server.url, serves="m@4")


def test_requests_that_do_not_fit_never_leave(opened):
    engine = opened()
    assert (engine.max_length, engine.vocab_size) == (32, 50)
    for changes, message in [
        ({"prompt_ids": []}, "request 0: the prompt has no tokens"),
        ({"prompt_ids": [1, 50]}, "request 0: token 50 found; expected ids from 0 to 49"),
        ({"max_new_tokens": 31}, "request 0: 2 tokens and 31 new ones are more than the 32"),
        ({"max_new_tokens": 0}, "request 0: 0 new tokens: expected at least 1"),
        ({"n": 0}, "request 0: n=0: expected at least 1"),
        ({"stop_ids": frozenset({50})}, "request 0: token 50 found; expected ids from 0 to 49"),
        ({"stop_texts": ("Q:",)}, "request 0: stop_texts need a tokenizer; the engine has none"),
    ]:
        with pytest.raises(UserError, match=message):
            first(engine, **changes)
    with pytest.raises(UserError, match="request 1: the continuation has no tokens"):
        list(engine.score([ScoreRequest([1], [2]), ScoreRequest([1], [])]))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, {"error": {"message": "EngineCore died"}}), "status 500: EngineCore died"),
        ((500, b"Internal Server Error"), "status 500: Internal Server Error"),
        ((200, b'{"choices": [{"token'), "not the answer of a vLLM 0.32 server"),
        ((200, {"choices": []}), "not the answer of a vLLM 0.32 server: choices: "),
        ((200, None), "/inference/v1/generate: the server went away"),
    ],
)
def test_a_server_that_breaks_down(server, opened, answer, message):
    engine = opened()
    server.then = answer
    with pytest.raises(UserError, match=message):
        first(engine)
    with pytest.raises(UserError, match=message):
        list(engine.score([ScoreRequest([1], [2, 3])]))


def test_a_connection_that_breaks_is_tried_once_more(server, opened):
    """As servers close connections that were idle for a while, just when one is used again."""
    engine = opened()
    asked = []

    def answer(_):
        asked.append(1)
        return (200, None) if len(asked) == 1 else (500, b"here again")

    server.answers["/inference/v1/generate"] = answer
    with pytest.raises(UserError, match="status 500: here again"):
        first(engine)
    assert len(asked) == 2


def test_a_server_that_does_not_answer(server, opened):
    engine = opened(timeout=3)  # in which it has to answer as well when the engine opens
    server.answers["/inference/v1/generate"] = server.silent
    with pytest.raises(UserError, match=r"no answer within engine.timeout=3 s"):
        first(engine)


def test_weights_for_a_server_that_takes_none(server, opened, tmp_path):
    engine = opened()
    with pytest.raises(UserError, match=r"cannot be replaced; .* VLLM_SERVER_DEV_MODE=1"):
        engine.update_weights(1, {"norm.weight": torch.ones(4)})
    server.answers["/weight_info"] = (200, {"weight_version": "default"})
    server.answers["/server_info?config_format=json"] = (200, INFO)
    with pytest.raises(UserError, match=r"/nowhere/config.json: No such file"):
        opened().update_weights(1, {"norm.weight": torch.ones(4)})


def test_an_engine_that_is_closed_in_use(server, opened):
    engine = opened()
    server.answers["/inference/v1/generate"] = server.silent
    threading.Thread(target=lambda: server.asked.wait(60) and engine.close()).start()
    with pytest.raises(UserError, match="the engine was closed while it was in use"):
        first(engine)
