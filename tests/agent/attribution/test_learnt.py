"""What is known of the weights: whose is which, also when somebody has left."""

from submeter.attribution.learnt import Prior, Weights, without

KNOWN: Weights[str] = Weights(
    keys=("a", "b", "c"),
    watts=(450.0, 90.0, 200.0),
    covariance=((1.0, 2.0, 3.0), (2.0, 4.0, 5.0), (3.0, 5.0, 6.0)),
    slope=250.0,
    learnt=True,
    floor=Prior(70.0, 3.0),
    exact=True,
    index={"a": 0, "b": 1, "c": 2},
)


def test_strangers_and_what_is_not_learnt_have_the_common_slope() -> None:
    assert [KNOWN.of(key) for key in "abcd"] == [450.0, 90.0, 200.0, 250.0]
    unlearnt: Weights[str] = Weights(
        KNOWN.keys, KNOWN.watts, KNOWN.covariance, 250.0, False, KNOWN.floor, index=KNOWN.index
    )
    assert [unlearnt.of(key) for key in "abcd"] == [250.0] * 4
    assert not unlearnt.exact


def test_who_leaves_takes_nothing_of_the_others() -> None:
    left = without(KNOWN, "b")
    assert left == Weights(
        ("a", "c"),
        (450.0, 200.0),
        ((1.0, 3.0), (3.0, 6.0)),
        *(250.0, True, KNOWN.floor, True, {"a": 0, "c": 1}),
    )
    assert without(KNOWN, "d") is KNOWN
    assert without(KNOWN, "a").watts == (90.0, 200.0)
