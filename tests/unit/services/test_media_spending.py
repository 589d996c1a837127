"""Calls that other meters than those of text may count: bounded by whatever their card prices, estimated when nobody says what they used."""

import pytest

from tests.cast import CREDIT, make_card
from tests.desk import Desk, last_settlement, lot, make_facts, wallet
from tokenroll.model.rate_card import RateTable
from tokenroll.model.usage import METER_INDEX, METERS, Meter
from tokenroll.services.hot import HotHold
from tokenroll.store import tape as tapes
from tokenroll.store.tape import Finish
from tokenroll.upstream.audio import Speech, Transcriptions
from tokenroll.upstream.dialect import Denial
from tokenroll.upstream.fine_tuning import FineTuningJobs
from tokenroll.upstream.images import ImageGenerations
from tokenroll.upstream.openai import ChatCompletions

NANO = 10**9
PICTURE, CHARACTER, SECOND, TRAINING = (
    METER_INDEX[one] for one in (Meter.IMAGE, Meter.CHARACTER, Meter.AUDIO_SECOND, Meter.TRAINING)
)


def desk(tmp_path, rates, **card):
    priced = make_card(RateTable(base={meter: nanos * NANO for meter, nanos in rates.items()}), **card)
    return Desk(tmp_path, wallet(lot(1, CREDIT)), cards=(priced,))


def media(**changes):
    facts = {"is_text": False, "cap_field": "", "output_cap_tokens": 0, "unit_maxima": ((SECOND, 60, 4),)}
    return make_facts(**(facts | changes))


def settled(one: Desk, hold, meter):
    """The charge, its counts by meter, and whether the provider said them."""
    one.dispatch(hold)
    charge = one.spending.settle(hold, meter, one.now, 200, Finish.COMPLETE)
    settle = last_settlement(one.records())
    counts = {meter.value: count for meter, count in zip(METERS, settle.counts, strict=True) if count is not None}
    return charge, counts, settle.source == tapes.TapeSource.REPORTED


def fed(meter, *data):
    for one in data:
        meter.feed(one)
    meter.finish()
    return meter


def test_a_card_of_seconds_bounds_by_seconds_alone(tmp_path):
    one = desk(tmp_path, {Meter.AUDIO_SECOND: 100_000}, output_tokens_max=None, context_window_tokens=None)
    hold = one.admit(media())
    assert isinstance(hold, HotHold)
    assert hold.bound_nanos == 60 * 100_000
    transcript = fed(Transcriptions().meter(stream=False, withhold_usage=False), b'{"text":"Pay day"}')
    assert settled(one, hold, transcript) == (4 * 100_000, {"audio_second": 4, "request": 1}, False)


def test_a_card_of_tokens_bounds_by_tokens_and_estimates_them_from_the_seconds(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 2, Meter.INPUT_AUDIO: 6, Meter.OUTPUT: 10})
    hold = one.admit(media(extra_input_tokens=1_260, output_cap_tokens=2_000))
    # 1,000 bytes, a message, and 60 seconds of 21 tokens, at the dearest input
    assert hold.bound_nanos == (1_016 + 1_260) * 6 + 2_000 * 10
    told = b"Pay day is near, and the allowance is larger than it was."  # 57 bytes, of which a frame takes 38
    transcript = fed(Transcriptions().meter(stream=False, withhold_usage=False), told)
    counts = {"input": 250, "input_audio": 84, "output": 4, "request": 1}
    assert settled(one, hold, transcript) == (250 * 2 + 84 * 6 + 4 * 10, counts, False)


def test_seconds_that_are_told_are_evidence_where_the_card_sells_tokens(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 2, Meter.INPUT_AUDIO: 6, Meter.OUTPUT: 10})
    hold = one.admit(media(extra_input_tokens=1_260, output_cap_tokens=2_000))
    told = b'{"text":"Pay","usage":{"type":"duration","seconds":9.5}}'
    transcript = fed(Transcriptions().meter(stream=False, withhold_usage=False), told)
    charge, counts, reported = settled(one, hold, transcript)
    assert (counts["input_audio"], "audio_second" in counts, reported) == (10 * 21, False, False)
    assert charge == 250 * 2 + 210 * 6 + counts["output"] * 10


def test_tokens_that_are_told_are_not_free_where_the_card_sells_seconds(tmp_path):
    one = desk(tmp_path, {Meter.AUDIO_SECOND: 100_000})
    hold = one.admit(media())
    told = b'{"text":"Pay","usage":{"type":"tokens","input_tokens":30,"output_tokens":6,"total_tokens":36}}'
    transcript = fed(Transcriptions().meter(stream=False, withhold_usage=False), told)
    assert settled(one, hold, transcript) == (400_000, {"audio_second": 4, "request": 1}, False)


def test_pictures_that_say_nothing_cost_what_was_held_for_them_where_tokens_are_sold(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 5, Meter.OUTPUT_IMAGE: 32})
    hold = one.admit(media(unit_maxima=((PICTURE, 2, 2),), choice_count=2, output_cap_tokens=272))
    assert hold.bound_nanos == 1_016 * 5 + 2 * 272 * 32
    pictures = fed(ImageGenerations().meter(stream=False, withhold_usage=False), b'{"created":1,"data":[{},{}]}')
    counts = {"input": 250, "output_image": 544, "request": 1}
    assert settled(one, hold, pictures) == (250 * 5 + 544 * 32, counts, False)


def test_pictures_sold_by_the_piece_cost_as_many_as_came(tmp_path):
    one = desk(tmp_path, {Meter.IMAGE: 40_000})
    hold = one.admit(media(unit_maxima=((PICTURE, 3, 3),), choice_count=3))
    assert hold.bound_nanos == 120_000
    pictures = fed(ImageGenerations().meter(stream=False, withhold_usage=False), b'{"created":1,"data":[{},{}]}')
    assert settled(one, hold, pictures) == (80_000, {"image": 2, "request": 1}, True)


def test_a_picture_is_held_at_the_most_of_its_model_and_no_cap_is_written(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 5, Meter.OUTPUT_IMAGE: 32}, output_tokens_max=6_540)
    hold = one.admit(media(unit_maxima=((PICTURE, 1, 1),)))
    assert (hold.bound_nanos, hold.cap_changed, hold.output_cap_tokens) == (1_016 * 5 + 6_540 * 32, False, 0)


def test_a_picture_of_a_model_without_a_maximum_is_refused(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 5, Meter.OUTPUT_IMAGE: 32}, output_tokens_max=None, context_window_tokens=None)
    refused = one.admit(media(unit_maxima=((PICTURE, 1, 1),)))
    assert isinstance(refused, Denial)
    assert "names no maximum output" in refused.sentence()


def test_a_voice_sold_by_the_character_is_never_free_because_its_stream_tells_no_tokens(tmp_path):
    """`speech.audio.done` counts tokens, which are nothing to a model that is sold by what it reads aloud."""
    one = desk(tmp_path, {Meter.CHARACTER: 15}, output_tokens_max=None, context_window_tokens=None)
    hold = one.admit(media(unit_maxima=((CHARACTER, 6_000, 6_000),)))
    done = b'data: {"type":"speech.audio.done","usage":{"input_tokens":0,"output_tokens":0,"total_tokens":0}}\n\n'
    spoken = fed(Speech().meter(stream=True, withhold_usage=False), done)
    assert settled(one, hold, spoken) == (6_000 * 15, {"character": 6_000, "request": 1}, False)


def test_a_voice_of_tokens_is_charged_by_the_sound_that_came(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 1, Meter.OUTPUT_AUDIO: 12})
    hold = one.admit(media(unit_maxima=((CHARACTER, 17, 17),), output_cap_tokens=784))
    # two seconds of MP3 at 128 kbit/s
    spoken = fed(Speech().meter(stream=False, withhold_usage=False), b"\xff\xfb" + bytes(31_998))
    assert settled(one, hold, spoken) == (250 + 42 * 12, {"input": 250, "output_audio": 42, "request": 1}, False)


@pytest.mark.parametrize(
    ("rates", "words"), [({Meter.CHARACTER: 15}, "audio seconds"), ({Meter.AUDIO_SECOND: 15}, "characters")]
)
def test_a_card_that_prices_neither_tokens_nor_its_units_bounds_nothing(tmp_path, rates, words):
    unit = CHARACTER if Meter.AUDIO_SECOND in rates else SECOND
    refused = desk(tmp_path, rates).admit(media(unit_maxima=((unit, 5, 5),)))
    assert isinstance(refused, Denial)
    assert f"no price for model tokens or {words}" in refused.sentence()


def test_what_does_not_fit_is_refused_without_naming_a_cap(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 5, Meter.OUTPUT_IMAGE: 32_000})
    refused = one.admit(media(unit_maxima=((PICTURE, 10, 10),), choice_count=10, output_cap_tokens=6_240))
    assert isinstance(refused, Denial)
    assert (refused.code, refused.fitting_cap_tokens) == ("wallet_empty", 0)
    assert "output cap" not in refused.sentence()


def job(**changes):
    terms = {
        "trains": True,
        "has_output": False,
        "input_bytes": 0,
        "message_count": 0,
        "unit_maxima": ((TRAINING, 9_000, 500),),
    }
    return media(**(terms | changes))


def test_a_job_is_bounded_by_what_it_may_train_and_estimated_by_what_it_likely_does(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 2, Meter.OUTPUT: 10, Meter.TRAINING: 3})
    hold = one.admit(job())
    assert isinstance(hold, HotHold)
    assert hold.bound_nanos == 9_000 * 3
    receipt = fed(FineTuningJobs().meter(stream=False, withhold_usage=False), b'{"object":"fine_tuning.job"}')
    assert settled(one, hold, receipt) == (500 * 3, {"input": 0, "training": 500, "request": 1}, False)


def test_a_model_that_only_talks_is_not_trained(tmp_path):
    refused = desk(tmp_path, {Meter.INPUT: 2, Meter.OUTPUT: 10}).admit(job())
    assert isinstance(refused, Denial)
    assert refused.code == "call_not_bounded"
    assert refused.sentence() == (
        "Nothing bounds the cost of this call to 'sonnet': its rate card has no price for training. Whoever runs the gateway can "
        "set it: `tokenroll ratecard set --model sonnet --training CREDITS`, per million tokens."
    )


def test_a_price_of_training_bounds_no_other_call(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 2, Meter.OUTPUT: 10, Meter.TRAINING: 3_000})
    talks = one.admit(make_facts(output_cap_tokens=100))
    assert isinstance(talks, HotHold)
    # 1,000 bytes and a message, and the cap
    assert talks.bound_nanos == (1_000 + 16) * 2 + 100 * 10


# ---- answers in sound ------------------------------------------------------------------------------------------------------

SPOKEN = {Meter.INPUT: 2, Meter.OUTPUT: 10, Meter.OUTPUT_AUDIO: 64}


def spoken(**changes):
    return make_facts(**({"is_text": False, "speaks": True} | changes))


def test_an_answer_in_sound_is_held_as_if_every_token_of_it_were_sound(tmp_path):
    one = desk(tmp_path, {**SPOKEN, Meter.INPUT_AUDIO: 32}, context_window_tokens=5_000)
    assert one.admit(spoken()).bound_nanos == 1_016 * 2 + 100 * 64
    # what was said before is kept by its provider, and is never more than the window
    again = spoken(has_audio=True, fills_window=True, reads_stored=True)
    assert one.admit(again).bound_nanos == 5_000 * 32 + 100 * 64
    # of text alone it is as it was
    assert one.admit(make_facts()).bound_nanos == 1_016 * 2 + 100 * 10


def test_without_a_cap_it_is_held_for_the_longest_answer_of_its_model_and_never_cut_short(tmp_path):
    one = desk(tmp_path, SPOKEN, output_tokens_max=4_000)
    hold = one.admit(spoken(output_cap_tokens=0))
    assert (hold.bound_nanos, hold.cap_changed, hold.output_cap_tokens) == (1_016 * 2 + 4_000 * 64, False, 0)


def test_a_card_without_a_price_for_it_refuses_it_by_name(tmp_path):
    one = desk(tmp_path, {Meter.INPUT: 2, Meter.OUTPUT: 10})
    refused = one.admit(spoken())
    assert isinstance(refused, Denial)
    assert (refused.code, refused.state) == ("call_not_bounded", "its rate card has no price for an answer in sound")


USAGE = (
    b'"usage":{"prompt_tokens":50,"completion_tokens":20,"total_tokens":70,'
    b'"completion_tokens_details":{"audio_tokens":15,"reasoning_tokens":0}}'
)


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_charged_as_its_usage_tells_sound_from_text(tmp_path, stream):
    one = desk(tmp_path, SPOKEN)
    hold = one.admit(spoken())
    said = (
        [b'data: {"choices":[],' + USAGE + b"}\n\n", b"data: [DONE]\n\n"]
        if stream
        else [b'{"choices":[{}],' + USAGE + b"}"]
    )
    meter = fed(ChatCompletions().meter(stream=stream, withhold_usage=False), *said)
    counts = {"input": 50, "output": 5, "output_audio": 15, "request": 1}
    known = {"reasoning": 0}
    assert settled(one, hold, meter) == (50 * 2 + 5 * 10 + 15 * 64, counts | known, True)


def test_a_stream_that_was_cut_is_charged_by_the_sound_that_came(tmp_path):
    one = desk(tmp_path, SPOKEN)
    hold = one.admit(spoken())
    # half a second: 24,000 bytes of sound, 32,000 in base64, ten tokens of 3,200
    sound = b'data: {"choices":[{"index":0,"delta":{"audio":{"data":"' + b"A" * 32_000 + b'"}}}]}\n\n'
    charge, counts, reported = settled(
        one, hold, fed(ChatCompletions().meter(stream=True, withhold_usage=False), sound)
    )
    assert (counts, reported) == ({"input": 250, "output_audio": 10, "request": 1}, False)
    assert charge == 250 * 2 + 10 * 64
