"""`./just vllm`: its environment made, a checkpoint served, and the engine held to our own model.

Everything is real but the model's size: two checkpoints of one tiny training run with grouped
queries, windows and YaRN, on a CPU. The server runs in float32, where agreement is to rounding, and
once in bfloat16.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
import torch

from olmoflow.commands.inputs.checkpoints import find_checkpoint, load_model, tokenizer_folder
from olmoflow.commands.inputs.engines import open_engine, served_name
from olmoflow.commands.main import main
from olmoflow.errors import UserError
from olmoflow.inference.engine import Engine, GenerationRequest, ScoreRequest
from olmoflow.inference.sampling import Sampling
from olmoflow.inference.vllm import VLLMEngine
from olmoflow.tokens.tokenizer import load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.system  # the environment is fetched, gigabytes of it

TEXT = "the quick brown fox jumps over the lazy dog, again and again; "
VOCABULARY, LENGTH, WINDOW = 320, 256, 16
# vLLM's CPU kernels have no heads narrower than 32.
TRAINING = [
    "max_tokens=8192",
    "global_batch_tokens=256",
    "sequence_length=32",
    "warmup=1",
    "save.every_steps=16",
    "runtime.micro_batch_sequences=4",
    "runtime.progress=false",
    "runtime.accelerator=cpu",
    f"model.vocab_size={VOCABULARY + 64}",  # 64 rows of padding, which the export leaves out
    "model.d_model=64",
    "model.n_heads=2",
    "model.n_kv_heads=1",
    "model.ffn_hidden_size=64",
    f"model.sliding_window={WINDOW}",
    f"model.max_sequence_length={LENGTH}",
    "model.yarn={_target_: olmoflow.model.YaRN, factor: 4.0, original_max_position: 64}",
]
GREEDY = Sampling(0.0)
TOLERANCE = 1e-4  # in float32


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vllm")
    rows = [json.dumps({"text": f"{number}. {TEXT * 8}"}) for number in range(60)]
    (folder / "text.jsonl").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(folder / "artifacts"))
        source = f"source={folder / 'text.jsonl'}"
        assert main(["curate", "pipeline=documents", source, "name=c"]) == 0
        assert main(["tokenize", "corpus=c", f"tokenizer.vocab_size={VOCABULARY}", "name=s"]) == 0
        assert main(["train", "shards=s", "name=m", *TRAINING]) == 0
        yield folder


def model_of(reference):
    runtime = {"accelerator": "cpu", "dtype": "float32"}
    return load_model(find_checkpoint(reference), runtime).model


@pytest.fixture(scope="module")
def models(home):
    """The newest checkpoint, which is served, and an earlier one."""
    return SimpleNamespace(served=model_of("m@32"), earlier=model_of("m@16"))


@pytest.fixture(scope="module")
def tokenizer(home):
    return load_tokenizer(tokenizer_folder(find_checkpoint("m")))


class Served:
    """`./just vllm m` as a child, with what it says."""

    def __init__(self, dtype, port):
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        command = [str(ROOT / "just"), "vllm", "m", f"port={self.port}", f"dtype={dtype}"]
        self.process = subprocess.Popen(
            # Compiling the model takes minutes and changes no result.
            [*command, "--enforce-eager", "--max-num-seqs", "16"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"},
            start_new_session=True,
        )
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if f"is served at {self.url}" in line:
                break
        else:
            raise AssertionError("".join(self.said) + self.log())
        self.rest = threading.Thread(target=lambda: self.said.extend(self.process.stderr))
        self.rest.start()

    def log(self):
        file = Path(os.environ["OLMOFLOW_HOME"]) / "vllm" / f"server-{self.port}.log"
        return file.read_text()[-5000:] if file.is_file() else ""

    def interrupt(self):
        """What Ctrl-C does: everything in the terminal's foreground gets it."""
        os.killpg(self.process.pid, signal.SIGINT)
        status = self.process.wait(300)
        self.rest.join()
        return status

    def running(self):
        """Requests that the server works on."""
        with urlopen(f"{self.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        (line,) = [each for each in lines if each.startswith("vllm:num_requests_running{")]
        return float(line.split()[-1])


@pytest.fixture(scope="module")
def environment():
    started = time.monotonic()
    done = subprocess.run([str(ROOT / "just"), "vllm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"./just vllm: {time.monotonic() - started:.0f} s: {done.stderr.splitlines()[-1]}")


@pytest.fixture(scope="module")
def server(environment, models, new_port):
    served = Served("float32", new_port())
    yield served
    served.interrupt()


@pytest.fixture
def in_bfloat16(environment, models, new_port):
    served = Served("bfloat16", new_port())
    yield served
    if served.process.poll() is None:
        served.interrupt()


@pytest.fixture(scope="module")
def engine(server):
    node = {"_target_": "olmoflow.inference.vllm.VLLMEngine", "url": server.url}
    engine = open_engine(node, find_checkpoint("m"), {})
    yield engine
    engine.close()


def descendants(pid):
    """The processes below one, as `ps` tells them."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(row.split()[0]): int(row.split()[1]) for row in rows.stdout.splitlines()}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def runs(pid):
    """Whether a process is there; one that has ended may still wait to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def prompts(count, seed=0, longest=100):
    """Random tokens, of 1 to `longest` places: several windows, and beyond the unscaled 64."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [1 + (longest - 1) * i // max(1, count - 1) for i in range(count)]
    return [torch.randint(VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


@torch.inference_mode()
def logprobs(model, ids):
    """Our log-probabilities of all tokens but the first, and the likeliest token at each place."""
    table = model(torch.tensor([ids]))[0, :, :VOCABULARY].float().log_softmax(-1)
    of_tokens = table[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    return of_tokens, table[:-1].argmax(-1)


def distribution(logits, sampling):
    """What is sampled from: temperature, then top-k, then the nucleus."""
    ranked, order = (logits / sampling.temperature).sort(descending=True)
    ranked[sampling.top_k or len(ranked) :] = -torch.inf
    ranked = ranked.softmax(-1)
    ranked[ranked.cumsum(-1) - ranked >= sampling.top_p] = 0
    return torch.zeros_like(ranked).scatter(-1, order, ranked / ranked.sum())


def difference(ours, theirs):
    assert len(ours) == len(theirs)
    return (ours - torch.tensor(theirs)).abs().max().item() if len(theirs) else 0.0


def test_it_is_an_engine(engine, models):
    assert isinstance(engine, Engine)
    assert (engine.max_length, engine.vocab_size, engine.version) == (LENGTH, VOCABULARY, 0)


def test_greedy_tokens_are_our_likeliest_and_log_probabilities_agree(engine, models):
    requests = [GenerationRequest(ids, 24, GREEDY, prompt_logprobs=True) for ids in prompts(24)]
    requests.append(GenerationRequest(prompts(1)[0], LENGTH - 1, GREEDY))  # as long as it can be
    done = sorted(engine.generate(iter(requests)), key=lambda completion: completion.request)
    assert [completion.request for completion in done] == list(range(25))
    for completion, request in zip(done, requests, strict=True):
        start = len(request.prompt_ids) - 1
        ours, likeliest = logprobs(models.served, [*request.prompt_ids, *completion.token_ids])
        assert completion.token_ids == likeliest[start:].tolist()
        assert difference(ours[start:], completion.logprobs) < TOLERANCE
        if request.prompt_logprobs:
            assert difference(ours[:start], completion.prompt_logprobs) < TOLERANCE
        assert completion.versions == [0] * request.max_new_tokens
        assert completion.finish_reason == "length"


def test_samples_depend_on_seed_and_number_alone(engine, models):
    def sampled(*requests):
        found = defaultdict(dict)
        for completion in engine.generate(requests):
            found[completion.request][completion.sample] = completion.token_ids
        return [[of[sample] for sample in sorted(of)] for _, of in sorted(found.items())]

    (ids,) = prompts(1, seed=1)
    request = GenerationRequest(ids, 12, Sampling(1.5), n=4, seed=5)
    others = [GenerationRequest(other, 30, Sampling(1.0), n=2) for other in prompts(6, seed=2)]
    (alone,) = sampled(request)
    assert len({tuple(tokens) for tokens in alone}) == 4
    assert sampled(*others, request)[-1] == alone
    next_seed = GenerationRequest(ids, 12, Sampling(1.5), n=4, seed=6)
    assert not {*map(tuple, alone)} & {*map(tuple, sampled(next_seed)[0])}


def test_sampling_follows_temperature_and_log_probabilities_do_not(engine, models):
    """The second token's share among many samples is its probability at that temperature."""
    (ids,) = prompts(1, seed=3, longest=1)
    table = models.served(torch.tensor([ids]))[0, -1, :VOCABULARY].detach().float()
    for sampling in (Sampling(0.5), Sampling(1.0, top_k=3), Sampling(1.0, top_p=0.5)):
        request = GenerationRequest(ids, 1, sampling, n=400)
        drawn = list(engine.generate([request]))
        expected = distribution(table, sampling)
        allowed = set(expected.nonzero()[:, 0].tolist())
        assert {c.token_ids[0] for c in drawn} <= allowed
        best = int(expected.argmax())
        share = sum(c.token_ids[0] == best for c in drawn) / len(drawn)
        assert abs(share - expected[best].item()) < 0.1  # four standard deviations
        for completion in drawn:
            ours = table.log_softmax(-1)[completion.token_ids[0]].item()
            assert abs(completion.logprobs[0] - ours) < TOLERANCE


def test_stop_tokens_and_stop_texts(engine, models, tokenizer):
    ids = tokenizer.encode(f"3. {TEXT}"[:20])
    (free,) = engine.generate([GenerationRequest(ids, 40, GREEDY)])
    assert free.text == tokenizer.decode(free.token_ids, skip_special_tokens=True)
    stop_id = free.token_ids[6]
    first = free.token_ids.index(stop_id)
    stop_text = free.text[7:12]  # wherever the borders of its tokens are
    requests = [
        GenerationRequest(ids, 40, GREEDY, stop_ids=frozenset({stop_id})),
        GenerationRequest(ids, 40, GREEDY, stop_texts=("never said", stop_text)),
    ]
    by_id, by_text = sorted(engine.generate(requests), key=lambda each: each.request)
    assert by_id.token_ids == free.token_ids[: first + 1]
    assert (by_id.finish_reason, by_text.finish_reason) == ("stop", "stop")
    assert by_id.text == tokenizer.decode(by_id.token_ids)
    assert by_text.text == free.text[: free.text.index(stop_text)]
    assert stop_text in tokenizer.decode(by_text.token_ids)
    assert stop_text not in tokenizer.decode(by_text.token_ids[:-1])


def test_the_end_of_text_ends_only_what_asks_for_it(engine, models, tokenizer):
    """By its id, or by its text, or not at all; the text never has it."""
    ids, eos = tokenizer.encode(f"3. {TEXT}"), tokenizer.eos_id
    request = GenerationRequest(ids, 120, Sampling(1.0), n=8)
    by_id = replace(request, stop_ids=frozenset({eos}))
    by_text = replace(request, stop_texts=("<|endoftext|>",))
    found = defaultdict(dict)
    for each in engine.generate([request, by_id, by_text]):
        found[each.request][each.sample] = each
        assert "<|endoftext|>" not in each.text
    assert any(eos in each.token_ids[:-1] for each in found[0].values())
    for number in (1, 2):
        for sample, each in found[number].items():
            free = found[0][sample].token_ids
            ended = eos in free
            assert each.token_ids == (free[: free.index(eos) + 1] if ended else free)
            assert each.finish_reason == ("stop" if ended else "length")


def test_scores(engine, models):
    contexts = prompts(5, seed=4, longest=180)
    requests = [
        ScoreRequest(context, continuation)
        for context in contexts
        for continuation in (*prompts(4, seed=5, longest=9), [7], [8])
    ]
    requests += [ScoreRequest(contexts[-1], [letter]) for letter in range(40)]
    requests.append(ScoreRequest([3], [4] * (LENGTH - 1)))
    (likeliest,) = engine.generate([GenerationRequest(contexts[-1], 5, GREEDY)])
    requests.append(ScoreRequest(contexts[-1], likeliest.token_ids))
    found = dict(engine.score(requests))
    assert sorted(found) == list(range(len(requests)))
    for number, request in enumerate(requests):
        start = len(request.context_ids) - 1
        ours, best = logprobs(models.served, [*request.context_ids, *request.continuation_ids])
        assert difference(ours[start:], found[number].logprobs) < TOLERANCE
        assert found[number].greedy == (best[start:].tolist() == list(request.continuation_ids))
    assert found[len(requests) - 1].greedy
    ((_, alone),) = engine.score([requests[7]])
    assert max(abs(a - b) for a, b in zip(alone.logprobs, found[7].logprobs, strict=True)) < 1e-4


def test_an_evaluation_has_the_scores_of_our_own_engine(engine, server, capfd):
    asked = [*("evaluate", "checkpoint=m", "tasks=[arc_easy:rc:0shot,arc_easy:bpb:0shot]"),
             *("limit=6", "runtime.progress=false", "output=json")]  # fmt: skip
    capfd.readouterr()
    found = []
    for each in (["engine=vllm", f"engine.url={server.url}"], ["runtime.dtype=float32"]):
        assert main([*asked, *each]) == 0
        found.append(json.loads(capfd.readouterr().out)["tasks"])
    assert [task["n"] for task in found[0].values()] == [6, 6]
    for name, task in found[0].items():
        assert task.pop("score") == pytest.approx(found[1][name].pop("score"), rel=1e-4)
        assert task.pop("stderr") == pytest.approx(found[1][name].pop("stderr"), rel=1e-3)
    assert found[0] == found[1]


def test_whoever_goes_away_leaves_no_work_behind(engine, server):
    endless = (GenerationRequest(prompts(1)[0], 250, Sampling(1.0), seed=i) for i in range(10**9))
    stream = engine.generate(endless)
    for _ in range(5):
        next(stream)
    assert server.running() > 0
    stream.close()
    deadline = time.monotonic() + 300
    while server.running():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_weights_that_do_not_fit_never_leave(engine, models):
    with pytest.raises(
        UserError, match=r"embeddings.weight: 100 rows found, expected at least 320"
    ):
        engine.update_weights(1, {"embeddings.weight": torch.zeros(100, 64)})
    weights = dict(models.earlier.state_dict())
    del weights["norm.weight"]
    with pytest.raises(UserError, match=r"no tensor 'model\.norm\.weight', which Olmo 3 has"):
        engine.update_weights(1, weights)
    assert engine.version == 0
    assert len(list(engine.generate([GenerationRequest([1], 4)]))) == 1


def test_a_server_with_another_checkpoint_is_refused(server, models):
    name = served_name(find_checkpoint("m@16"))
    with pytest.raises(UserError, match=f"serves m@32, .*, but the checkpoint is {name}"):
        VLLMEngine(server.url, serves=name)


def test_new_weights_under_a_running_request(engine, server, models, monkeypatch):
    """They change what is said from the next token on; a swap that did nothing would fail here."""
    question = ScoreRequest(prompts(2, seed=6, longest=200)[-1], [9])
    asked = [question, ScoreRequest(question.context_ids[:50], question.context_ids[50:80])]
    before = dict(engine.score(asked))  # the server's prefix cache has the context now
    asked_for = []

    def requests():
        # More than the server runs at once, of different lengths, until the weights are there: it
        # is always in the middle of some, however far its answers lag behind.
        for number in count():
            if engine.version == 3:
                return
            prompt = [number % VOCABULARY]
            asked_for.append(GenerationRequest(prompt, LENGTH - 2 - number % 7 * 30, GREEDY))
            yield asked_for[-1]

    monkeypatch.setattr(engine, "concurrency", 64)
    done = []
    thread = threading.Thread(target=lambda: done.extend(engine.generate(requests())))
    thread.start()
    while not server.running():
        time.sleep(0.01)
    engine.update_weights(3, models.earlier.state_dict())
    thread.join()

    assert engine.version == 3
    assert len(done) == len(asked_for)
    assert any({0, 3} == set(completion.versions) for completion in done)
    for completion in done:
        request = asked_for[completion.request]
        old = completion.versions.count(0)
        assert completion.versions == [0] * old + [3] * (request.max_new_tokens - old)
        ours, _ = logprobs(models.served, [*request.prompt_ids, *completion.token_ids])
        assert difference(ours[:old], completion.logprobs[:old]) < TOLERANCE
        # How far apart depends on how much was left to be said: a few tokens may hardly differ.
        if completion.versions.count(3) > 20:
            assert difference(ours[old:], completion.logprobs[old:]) > 10 * TOLERANCE

    after = dict(engine.score(asked))
    for number, request in enumerate(asked):
        start = len(request.context_ids) - 1
        ids = [*request.context_ids, *request.continuation_ids]
        assert difference(logprobs(models.served, ids)[0][start:], before[number].logprobs) < 1e-4
        assert difference(logprobs(models.earlier, ids)[0][start:], after[number].logprobs) < 1e-4
        assert difference(torch.tensor(before[number].logprobs), after[number].logprobs) > 0.01

    with pytest.raises(UserError, match=r"the weights of .* were replaced there by 3-"):
        VLLMEngine(server.url, serves=served_name(find_checkpoint("m")))
    engine.update_weights(4, models.served.state_dict())
    again = dict(engine.score(asked))
    for number in again:
        assert difference(torch.tensor(before[number].logprobs), again[number].logprobs) < 1e-5


def test_bfloat16_and_the_end_of_a_server(in_bfloat16, models, tokenizer):
    served = in_bfloat16
    children = descendants(served.process.pid)
    assert len(children) >= 3  # of the recipe: the server, its engine
    engine = VLLMEngine(served.url)
    # Text of its own kind: on anything else logits are large, and bfloat16's steps with them.
    ids = tokenizer.encode(f"3. {TEXT * 3}")
    lengths = range(3, len(ids), 7)
    requests = [GenerationRequest(ids[:n], 40, Sampling(t)) for t in (0, 1) for n in lengths]
    apart = []
    runtime = {"accelerator": "cpu", "dtype": "bfloat16"}
    ours = load_model(find_checkpoint("m"), runtime).model
    for completion in engine.generate(requests):
        prompt = requests[completion.request].prompt_ids
        expected, _ = logprobs(ours, [*prompt, *completion.token_ids])
        found = torch.tensor(completion.logprobs)
        apart.append((expected[len(prompt) - 1 :] - found).abs())
    errors = torch.cat(apart)
    print(
        f"bfloat16: mean {errors.mean():.5f}, 99 % {errors.quantile(0.99):.5f}, {errors.max():.5f}"
    )
    assert errors.mean() < 2e-3
    assert errors.quantile(0.99) < 2e-2

    engine.close()
    assert served.interrupt() == 130
    assert "vllm: ended\n" in served.said
    deadline = time.monotonic() + 300
    while any(runs(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(UserError, match="no server answers"):
        VLLMEngine(served.url)


def test_a_server_that_does_not_start_says_why(home, environment):
    command = [str(ROOT / "just"), "vllm", "m", "--no-such-setting"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "vllm: the server ended with status 2: " in done.stderr
    assert "unrecognized arguments: --no-such-setting" in done.stderr
