"""Every attention backend against the definition; packed documents against separate ones."""

import math
import sys
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.attention import attend, prepare
from olmoflow.model.attention.flash import document_borders

CONFIG = Olmo3Config(
    vocab_size=64,
    d_model=32,
    n_layers=4,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=48,
    sliding_window=40,
    init_std=0.2,  # so that attention is far from uniform
    max_sequence_length=2048,
)
# Blocks are of at least 128 queries: one ragged, one, two, several. From 1025 tokens on, full
# attention is one call.
LENGTHS = [1, 7, 128, 129, 400]
WINDOWS = [None, 1, 65, 128, 129, 300]
LONG = [(1030, None), (1030, 300)]


def by_definition(
    q: Tensor, k: Tensor, v: Tensor, window: int | None, document_ids: Tensor | None
) -> Tensor:
    """Softmax over the visible keys, in fp64, with nothing clever."""
    group = q.shape[2] // k.shape[2]
    q, k, v = q.double(), *(x.double().repeat_interleave(group, dim=2) for x in (k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    positions = torch.arange(q.shape[1], device=q.device)
    distance = positions[:, None] - positions
    seen = (distance >= 0) & (distance < (window or q.shape[1]))
    if document_ids is not None:
        seen = seen & (document_ids[:, None, :, None] == document_ids[:, None, None, :])
    weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


def random_qkv(length: int, batch: int = 2, device: str = "cpu") -> list[Tensor]:
    torch.manual_seed(length)
    shapes = [(batch, length, heads, 8) for heads in (4, 2, 2)]
    return [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]


def random_documents(length: int, batch: int = 2) -> Tensor:
    """Other borders in every row; ids as a packer gives them, non-decreasing."""
    generator = torch.Generator().manual_seed(length)
    begins = torch.rand(batch, length, generator=generator) < 0.03
    return begins.cumsum(1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("length", "window"), [*product(LENGTHS, WINDOWS), *LONG])
def test_sdpa_is_the_definition(length, window, packed):
    qkv = random_qkv(length)
    ids = random_documents(length) if packed else None
    out = attend(*qkv, window=window, document_ids=ids)
    expected = by_definition(*qkv, window, ids)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)

    towards = torch.randn_like(out)
    gradients = torch.autograd.grad(out, qkv, towards)
    wanted = torch.autograd.grad(expected, qkv, towards.double())
    for found, gradient in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=0, atol=2e-5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("window", [None, 1, 65, 300])
@pytest.mark.parametrize("length", [7, 200, 333])
def test_flex_is_the_definition(length, window, packed):
    """Forward only: torch gives FlexAttention no backward on a CPU."""
    qkv = [x.detach() for x in random_qkv(length)]
    ids = random_documents(length) if packed else None
    out = attend(*qkv, window=window, document_ids=ids, backend="flex")
    expected = by_definition(*qkv, window, ids)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("window", [None, 1, 65, 300, 700])
@pytest.mark.parametrize(("length", "queries"), [(700, 1), (700, 333), (333, 128), (1500, 700)])
def test_queries_may_be_the_last_tokens_only(length, queries, window, packed):
    q, k, v = random_qkv(length)
    ids = random_documents(length) if packed else None
    expected = by_definition(q, k, v, window, ids)[:, -queries:]
    for backend in ("sdpa", "flex"):
        if backend == "flex":
            q, k, v = (x.detach() for x in (q, k, v))
        common = {"length": length, "device": q.device, "dtype": q.dtype}
        out = prepare(backend, window, ids, queries=queries, **common)(q[:, -queries:], k, v)
        torch.testing.assert_close(out.double(), expected, rtol=0, atol=1e-5)


def test_bf16_keeps_its_scores_in_fp32():
    q, k, v = (x.detach() for x in random_qkv(333))
    half = [x.bfloat16() for x in (8 * q, k, v)]  # scores near 30, where bf16 has steps of 1/8
    expected = by_definition(*half, 65, None)
    out = attend(*half, window=65)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), expected, rtol=0.01, atol=0.02)


def make_model(**changes: object) -> Olmo3:
    model = Olmo3(CONFIG, **changes)
    initialise(model, seed=0)
    return model


def packed_row() -> tuple[list[Tensor], Tensor, Tensor]:
    """Documents, the row that holds them, and the row's document ids."""
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 30, 64, 3, 150, 52]
    documents = [torch.randint(64, (1, n), generator=generator) for n in lengths]
    ids = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    return documents, torch.cat(documents, dim=1), ids[None]


def test_packed_documents_are_as_if_alone():
    """Logits and gradients, though a packed document keeps the positions of its row."""
    model = make_model()
    documents, row, ids = packed_row()
    towards = torch.randn(1, row.shape[1], 64, generator=torch.Generator().manual_seed(1))

    alone = torch.cat([model(document) for document in documents], dim=1)
    alone.backward(towards)
    wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    packed = model(row, document_ids=ids)
    packed.backward(towards)

    torch.testing.assert_close(packed, alone, rtol=0, atol=5e-5)
    for name, parameter in model.named_parameters():
        scale = wanted[name].abs().max().item()
        torch.testing.assert_close(parameter.grad, wanted[name], rtol=0, atol=2e-5 * scale)


@torch.no_grad()
def test_flex_packs_documents_too():
    documents, row, ids = packed_row()
    model = make_model(attention="flex")
    alone = torch.cat([model(document) for document in documents], dim=1)
    torch.testing.assert_close(model(row, document_ids=ids), alone, rtol=0, atol=5e-5)


@torch.no_grad()
def test_rows_have_documents_of_their_own():
    model = make_model()
    torch.manual_seed(0)
    rows, ids = torch.randint(64, (3, 200)), random_documents(200, batch=3)
    together = model(rows, document_ids=ids)
    for i in range(3):
        single = model(rows[i : i + 1], document_ids=ids[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], single, rtol=0, atol=5e-5)
    assert (model(rows) - together).abs().max() > 0.1


def test_borders_of_documents():
    ids = torch.tensor([[0, 0, 0, 1, 2, 2], [2, 2, 5, 5, 5, 5]])  # rows never share a document
    queries, keys = document_borders(ids, 6)
    assert queries.tolist() == keys.tolist() == [0, 3, 4, 6, 8, 12]
    assert queries.dtype == keys.dtype == torch.int32
    queries, keys = document_borders(ids, 2)
    assert keys.tolist() == [0, 3, 4, 6, 8, 12]
    assert queries.tolist() == [0, 0, 0, 2, 2, 4]  # two of the row's last document, four in all


def test_compiled_blocks_are_compiled_once_per_kind_of_layer():
    """No graph breaks, and nothing anew for later layers, steps or documents."""
    torch._dynamo.reset()
    backend = CompileCounter()
    model = make_model()
    expected = [model(*batch).detach() for batch in batches_to_compile()]
    for block in model.blocks:
        block.compile(backend=backend, fullgraph=True)
    for batch, wanted in zip(batches_to_compile(), expected, strict=True):
        logits = model(*batch)
        logits.sum().backward()
        torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-5)
    assert backend.frame_count <= 4  # window and full layers, without and with documents


def batches_to_compile() -> list[tuple[Tensor, ...]]:
    ids = torch.randint(64, (2, 200), generator=torch.Generator().manual_seed(0))
    return [(ids,), (ids + 0,), (ids, random_documents(200)), (ids, random_documents(200) + 1)]


@pytest.mark.parametrize("packed", [False, True])
def test_shapes_without_memory(packed):
    """On meta and fake tensors, as a planner runs the model."""
    ids = torch.zeros(2, 1100, dtype=torch.int64)
    documents = (torch.zeros_like(ids),) if packed else ()
    with torch.device("meta"):
        model = Olmo3(CONFIG)
    inputs = [x.to("meta") for x in (ids, *documents)]
    assert model(*inputs).shape == (2, 1100, 64)
    with FakeTensorMode() as mode:
        fake = Olmo3(CONFIG)
        logits = fake(*(mode.from_tensor(x) for x in (ids, *documents)))
        logits.sum().backward()
        assert fake.embeddings.weight.grad.shape == (64, 32)


def test_an_unknown_backend_is_named():
    with pytest.raises(UserError) as error:
        Olmo3(CONFIG, attention="sdpq")
    assert str(error.value) == "attention: 'sdpq' found, one of sdpa, flex, flash expected"


def test_flex_says_that_it_cannot_train_on_a_cpu():
    ids = torch.zeros(1, 8, dtype=torch.int64)
    with pytest.raises(UserError) as error:
        make_model(attention="flex")(ids)
    expected = "attention: 'flex' on a CPU found, which cannot train; 'sdpa' expected"
    assert str(error.value) == expected


def test_flash_says_that_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(UserError, match=r"^attention: 'flash' found, which needs the package flas"):
        Olmo3(CONFIG, attention="flash")


@pytest.mark.parametrize(
    ("device", "dtype", "message"),
    [
        ("cpu", torch.bfloat16, "attention: 'flash' on a cpu device found, CUDA expected"),
        (
            "cuda",
            torch.float32,
            "attention: 'flash' with torch.float32 found, bfloat16 or float16 expected",
        ),
    ],
)
def test_flash_says_where_it_runs(monkeypatch, device, dtype, message):
    monkeypatch.setitem(sys.modules, "flash_attn", math)  # any module: none is called
    with pytest.raises(UserError) as error:
        prepare("flash", None, None, length=8, device=torch.device(device), dtype=dtype)
    assert str(error.value) == message


class KernelsByDefinition:
    """The two functions of flash-attn 2.8 that are called, as its documentation defines them."""

    @staticmethod
    def flash_attn_func(q, k, v, *, causal, window_size):
        assert causal
        assert window_size[1] == 0
        window = None if window_size[0] < 0 else window_size[0] + 1
        # "Causal" means that the last query sees the last key.
        return torch.cat([_last(*one, window) for one in zip(q, k, v, strict=True)]).to(q.dtype)

    @classmethod
    def flash_attn_varlen_func(
        cls, q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, **options
    ):
        assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
        assert (type(max_seqlen_q), type(max_seqlen_k)) == (int, int)
        lengths = [each.diff().tolist() for each in (cu_seqlens_q, cu_seqlens_k)]
        assert [max_seqlen_q, max_seqlen_k] == [max(each) for each in lengths]
        documents = zip(q.split(lengths[0]), k.split(lengths[1]), v.split(lengths[1]), strict=True)
        rows = [cls.flash_attn_func(*(x[None] for x in d), **options)[0] for d in documents]
        return torch.cat(rows)


def _last(q: Tensor, k: Tensor, v: Tensor, window: int | None) -> Tensor:
    """`by_definition` of one sequence whose last tokens alone are queries."""
    before = q.new_zeros(len(k) - len(q), *q.shape[1:])
    whole = torch.cat((before, q))[None]
    return by_definition(whole, k[None], v[None], window, None)[:, len(before) :]


class NothingIsRead(TorchDispatchMode):
    """Fails where a tensor's value comes to the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("window", [None, 65])
@pytest.mark.parametrize("queries", [333, 100])
def test_what_flash_attn_is_given(monkeypatch, queries, window, packed):
    monkeypatch.setitem(sys.modules, "flash_attn", KernelsByDefinition)
    q, k, v = (x.detach().bfloat16() for x in random_qkv(333))
    ids = random_documents(333) if packed else None
    device = torch.device("cuda")  # as far as it knows
    common = {"length": 333, "device": device, "dtype": q.dtype, "queries": queries}
    out = prepare("flash", window, ids, **common)(q[:, -queries:], k, v)
    expected = by_definition(q, k, v, window, ids)[:, -queries:]
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=0.02)


def test_a_layer_of_flash_reads_nothing_back_from_the_gpu(monkeypatch):
    kernels = SimpleNamespace(flash_attn_varlen_func=lambda q, *_, **__: q)
    monkeypatch.setitem(sys.modules, "flash_attn", kernels)
    q, k, v = (x.detach().bfloat16() for x in random_qkv(333))
    common = {"length": 333, "device": torch.device("cuda"), "dtype": q.dtype}
    attention = prepare("flash", None, random_documents(333), **common)
    with NothingIsRead():
        attention(q, k, v)


@pytest.mark.gpu
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("window", [None, 65, 300])
@pytest.mark.parametrize(
    ("backend", "dtype", "tolerance"),
    [
        ("sdpa", torch.float32, 1e-4),
        ("flex", torch.float32, 1e-2),  # its kernels may multiply in TF32
        ("sdpa", torch.bfloat16, 0.05),
        ("flex", torch.bfloat16, 0.05),
        ("flash", torch.bfloat16, 0.05),
    ],
)
def test_backends_on_a_gpu(backend, dtype, tolerance, window, packed):
    torch.manual_seed(0)
    shapes = [(2, 333, heads, 64) for heads in (4, 2, 2)]
    qkv = [torch.randn(s, device="cuda", dtype=dtype, requires_grad=True) for s in shapes]
    ids = random_documents(333).cuda() if packed else None
    out = attend(*qkv, window=window, document_ids=ids, backend=backend)
    expected = by_definition(*qkv, window, ids)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=tolerance)
    towards = torch.randn_like(out)
    gradients = torch.autograd.grad(out, qkv, towards)
    wanted = torch.autograd.grad(expected, qkv, towards.double())
    for found, gradient in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=0, atol=4 * tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["sdpa", "flex", "flash"])
def test_packed_documents_on_a_gpu(backend):
    wide = replace(CONFIG, d_model=256)  # heads of 64
    model = Olmo3(wide, attention=backend, compute_dtype=torch.bfloat16)
    initialise(model, seed=0)
    model.cuda()
    documents, row, ids = packed_row()
    alone = torch.cat([model(document.cuda()) for document in documents], dim=1)
    packed = model(row.cuda(), document_ids=ids.cuda())
    off = (packed - alone).norm() / alone.norm()
    assert off < 0.03
