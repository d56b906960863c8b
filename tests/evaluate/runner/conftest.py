"""A small Llama of random weights that speaks a BPE of the tests, and small real tasks."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    Instance,
    InstanceScore,
    LoglikelihoodRequest,
)
from olmoflow.inference.hf import HFEngine
from olmoflow.tokens.bpe import train_bpe

QUESTIONS = [
    ("The sky on a clear day is", (" blue", " green", " made of stone"), 0),
    ("Two and two are", (" five", " four"), 1),
    ("The capital of France is ", ("Paris", "Rome", "the moon"), 0),
    ("A cat is an", (" animal", " idea"), 0),
    ("", (" Once upon a time", " xq zv"), 0),
]


@dataclass(frozen=True)
class Cloze:
    """Choices by their likelihood."""

    name: str = "cloze"
    questions: tuple = tuple(QUESTIONS)
    primary_metric: str = "acc"
    higher_is_better: bool = True
    config: dict = field(default_factory=lambda: {"format": "rc", "num_shots": 0})

    def instances(self, limit=None):
        for number, (context, choices, gold) in enumerate(self.questions[:limit]):
            requests = tuple(
                LoglikelihoodRequest(context, choice, idx) for idx, choice in enumerate(choices)
            )
            yield Instance(number, f"q{number}", {"question": context}, gold, requests)

    def score(self, answered):
        return [self._score(instance, responses) for instance, responses in answered]

    def _score(self, instance, responses):
        sums = [r.sum_logits for r in responses]
        right = float(sums.index(max(sums)) == instance.label)
        return InstanceScore({"acc": right, "logits_corr": sums[instance.label]}, {})


@dataclass(frozen=True)
class Gold(Cloze):
    """The gold answers of `Cloze` alone."""

    name: str = "gold"
    primary_metric: str = "logits_corr"

    def instances(self, limit=None):
        for each in super().instances(limit):
            request = each.requests[each.label]
            yield Instance(each.doc_id, each.native_id, each.doc, 0, (request,))


@dataclass(frozen=True)
class Speech:
    """Does a sample have the letter e in it?"""

    name: str = "speech"
    samples: int = 3
    temperature: float = 1.0
    max_new_tokens: int = 8
    stop_sequences: tuple = ("zzz",)
    primary_metric: str = "has_e"
    higher_is_better: bool = True
    config: dict = field(default_factory=lambda: {"format": "gen"})

    def instances(self, limit=None):
        for number, (context, *_) in enumerate(QUESTIONS[:limit]):
            request = GenerateRequest(
                context,
                self.stop_sequences,
                self.max_new_tokens,
                self.temperature,
                samples=self.samples,
            )
            yield Instance(number, None, {"question": context}, "e", (request,))

    def score(self, answered):
        scores = []
        for _, (response,) in answered:
            found = [("e" in text) for text in response.continuations]
            outcomes = {"scored": sum(found), "no_answer": len(found) - sum(found)}
            scores.append(
                InstanceScore(
                    {"has_e": sum(found) / len(found)},
                    outcomes,
                    tuple("e" if f else None for f in found),
                )
            )
        return scores


@pytest.fixture(scope="session")
def tokenizer():
    texts = [context + choice for context, choices, _ in QUESTIONS for choice in choices]
    return train_bpe([*texts, "Once upon a time there was a small village by the sea"], 300)


@pytest.fixture(scope="session")
def model(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.3,
        eos_token_id=None,
        bos_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def open_engine(model, tokenizer):
    """An engine that counts what it is asked."""

    def open_(**settings):
        engine = HFEngine(model, tokenizer, **settings)
        engine.asked = []
        score, generate = engine.score, engine.generate

        def counted_score(requests):
            engine.asked += requests
            return score(requests)

        def counted_generate(requests):
            requests = list(requests)
            engine.asked += requests
            return generate(requests)

        engine.score, engine.generate = counted_score, counted_generate
        return engine

    return open_


@pytest.fixture
def tasks():
    return SimpleNamespace(Cloze=Cloze, Gold=Gold, Speech=Speech, questions=QUESTIONS)
