"""Tags are kept in one form, known names have one value, and who is nearer to the call decides."""

import pytest

from tokenroll.model.limits import TAGS_BYTES_MAX
from tokenroll.model.tag import TagError, known_name, merged_tags, named_tag, short_tags, tag_value, tags_from_text
from tokenroll.store.tape import NAME_BYTES_MAX


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        (" , ,", ""),
        ("draft", "draft"),
        (" urgent , draft,urgent", "urgent,draft"),
        ("Project = atlas", "project=atlas"),
        ("cost_centre=4711", "cost-centre=4711"),
        ("Cost-Center=4711", "cost-centre=4711"),
        ("purpose=personal,session=s-1,outcome=PR 12", "purpose=personal,session=s-1,outcome=PR 12"),
        ("project=a,project=a", "project=a"),
        ("team=a,team=b", "team=a,team=b"),
        ("project", "project"),
        ("x" * 128, "x" * 128),
    ],
)
def test_tags_are_kept_in_one_form(text, kept):
    assert tags_from_text(text) == kept


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("project=a,project=b", "the tag project is given twice, as 'project=a' and as 'project=b': a call has one"),
        ("project=", "the tag project has no value: write project=…, or leave it out"),
        ("purpose=fun", "the purpose of a call is work or personal, not 'fun'"),
        ("x" * 129, "a tag has at most 128 printable ASCII characters, not 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'"),
        ("salle=été", r"a tag has at most 128 printable ASCII characters, not 'salle=\\xe9t\\xe9'"),
        (",".join(map(str, range(17))), "a call has at most 16 tags from one place, not 17"),
        (
            ",".join(f"{one:0128}" for one in range(8)),
            "the tags of a call have at most 1024 characters together, not 1031",
        ),
    ],
)
def test_tags_that_cannot_be_kept_are_refused_in_words(text, why):
    with pytest.raises(TagError) as refused:
        tags_from_text(text)
    assert str(refused.value) == why.replace("\\\\", "\\")


def test_a_value_with_a_comma_would_be_two_tags():
    with pytest.raises(TagError, match="has a comma, which would end it"):
        named_tag("project", "a,purpose=personal")


def test_the_call_says_before_its_metadata_and_that_before_its_key():
    call, metadata, key = "project=atlas,draft", "project=hermes,session=s-1", "purpose=work,project=zeus,team=a"
    assert merged_tags(call, metadata, key) == "project=atlas,draft,session=s-1,purpose=work,team=a"
    assert merged_tags("", "", key) == key
    assert merged_tags("draft", "", "draft") == "draft"
    assert merged_tags("project", "", "project=zeus") == "project,project=zeus"  # a free label is no name


def test_what_does_not_fit_together_is_refused_and_not_cut():
    long = ",".join(f"{one:0127}" for one in range(7))  # with its other: 13 different labels of 127, and 12 commas
    both = merged_tags(long, "", long.replace("0", "1"))
    assert len(both) == 1_663
    with pytest.raises(TagError, match="at most 1024 characters together, not 1663"):
        short_tags(both)


def test_a_name_is_asked_for_by_itself():
    tags = "project=atlas,cost-centre=4711=a,draft"
    assert [tag_value(tags, name) for name in ("project", "cost-centre", "session")] == ["atlas", "4711=a", ""]
    assert known_name("Cost_Centre ") == "cost-centre"
    assert known_name("team") == ""


def test_all_tags_of_a_call_fit_into_one_name_of_the_tape():
    assert TAGS_BYTES_MAX <= NAME_BYTES_MAX
