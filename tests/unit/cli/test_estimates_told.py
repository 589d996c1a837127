"""`tokenroll reconcile` says of a difference that it was an estimate, and what becomes of it."""

from tokenroll.cli.reconcile import _say_estimates


def test_it_says_that_an_estimate_was_one_and_what_books_it(capsys):
    _say_estimates([{"kind": "estimate"}, {"kind": "usage"}], booked=False)
    assert capsys.readouterr().out == (
        "1 of these was estimated, because the provider's answer did not say what it used: the wallet keeps its charge, and the "
        "difference is the company's provider variance (`--book` books it)\n"
    )


def test_it_says_nothing_of_estimates_where_there_are_none(capsys):
    _say_estimates([{"kind": "usage"}, {"kind": "cost"}], booked=True)
    assert capsys.readouterr().out == ""
