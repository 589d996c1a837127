"""What a text tells the simulated provider to do is done in its order, one step after each result."""

from tokenroll.upstream.simulated.script import Script, script_of

STORY = 'sim-call Write {"path": "slip.txt", "content": "{paid}"} and then sim-call Bash {"command": "cat slip.txt"}'
STEPS = (("Write", {"path": "slip.txt", "content": "{paid}"}), ("Bash", {"command": "cat slip.txt"}))


def ada(content):
    return {"role": "user", "content": content}


def test_steps_are_read_from_a_text_or_its_parts_in_any_dialect():
    assert script_of([ada(STORY)]) == Script(STEPS, 0)
    assert script_of([ada([{"type": "input_text", "text": STORY}])]) == Script(STEPS, 0)


def test_each_result_is_a_step_done():
    chat = [ada(STORY), {"role": "assistant", "content": None}, {"role": "tool", "content": "written"}]
    responses = [ada(STORY), {"type": "function_call"}, {"type": "custom_tool_call_output", "output": "written"}]
    messages = [ada(STORY), ada([{"type": "tool_result", "content": "written"}])]
    for said in (chat, responses, messages):
        assert script_of(said) == Script(STEPS, 1)
    assert script_of([*messages, messages[1]]) == Script(STEPS, 2)


def test_after_the_last_step_comes_a_text():
    assert [Script(STEPS, done).next_step for done in range(4)] == [*STEPS, None, None]


def test_without_a_word_there_is_no_script_and_with_sim_say_an_empty_one():
    assert script_of([ada("sim-caller Write {}")]) is None
    assert script_of([{"role": "assistant", "content": STORY}]) is None
    assert script_of([ada("sim-say something")]) == Script((), 0)
    assert script_of([ada("sim-call Write {not JSON")]) == Script((), 0)
