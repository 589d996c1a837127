from tokenroll.model.enforcement import CapPolicy, Enforcement


def test_it_grows_stricter():
    assert [one.value for one in Enforcement] == ["observe", "warn", "enforce"]


def test_a_cap_that_does_not_fit_is_refused_or_lowered():
    assert [one.value for one in CapPolicy] == ["deny", "clamp"]
