"""`open_engine`: mistakes name the key before anything is loaded; a server is held to the name."""

import socket
from pathlib import Path

import pytest

from olmoflow.artifact import Input
from olmoflow.commands.inputs.engines import open_engine, served_name
from olmoflow.errors import UserError

VLLM = {"_target_": "olmoflow.inference.vllm.VLLMEngine", "url": "http://127.0.0.1:1"}
STEP = Input("checkpoint", "checkpoint", "m", "0123456789ab", Path("/nowhere"), 4)
FOLDER = Input("checkpoint", "external", "m", "ba9876543210", Path("/nowhere"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concurency": 3}, r"engine\.concurency: VLLMEngine has no such argument; did you mean"),
        ({"timeout": "long"}, r"engine\.timeout='long': .*number"),
        ({"concurrency": 0}, r"engine\.concurrency=0: expected at least 1"),
        ({"timeout": 0.0}, r"engine\.timeout=0.0: expected seconds, more than 0"),
        ({"url": None}, r"engine\.url=None: .*string"),
        ({"_target_": "os.system"}, r"engine\._target_=os\.system: expected a class of olmoflow"),
        ({"_target_": "olmoflow.inference.vlm.Engine"}, r"engine\._target_=.*: no such class"),
    ],
)
def test_mistakes_name_the_key(change, message):
    with pytest.raises(UserError, match=message):
        open_engine({**VLLM, **change}, STEP, {})


def test_a_server_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"engine\.url={url}: no server answers"):
            open_engine({**VLLM, "url": url}, STEP, {})


def test_each_step_and_folder_has_a_name_of_its_own():
    assert served_name(STEP) == "0123456789ab@4"
    assert served_name(FOLDER) == "ba9876543210"
