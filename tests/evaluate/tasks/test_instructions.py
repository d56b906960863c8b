from olmoflow.evaluate.tasks.registry import find_task


def test_ifbench_has_its_294_prompts():
    instances = list(find_task("ifbench:chat").instances())
    assert len(instances) == 294
    first = instances[0]
    (request,) = first.requests
    assert request.chat
    assert request.context.startswith("What should the world's smartest man, surrounded by")
    assert first.label["instruction_id_list"] == ["count:keywords_multiple"]
    assert first.label["kwargs"] == [
        {
            "keyword1": "kaleidoscope",
            "keyword2": "nebula",
            "keyword3": "whisper",
            "keyword4": "labyrinth",
            "keyword5": "paradox",
        }
    ]
    assert all(len(i.label["kwargs"]) == len(i.label["instruction_id_list"]) for i in instances)
