"""Two columns are a mapping like any other."""

from submeter.amounts import Amounts, in_columns
from submeter.model import Account, Component, Owner, Phase

ONE, TWO = (
    Account("GPU-0", "", component, Owner(Phase.OTHER)) for component in list(Component)[:2]
)


def test_it_is_the_table_that_it_stands_for() -> None:
    amounts = Amounts([ONE, TWO], [7, 9])
    assert amounts == {ONE: 7, TWO: 9} == dict(amounts.items())
    assert (list(amounts), list(amounts.values()), len(amounts)) == ([ONE, TWO], [7, 9], 2)
    assert (amounts[TWO], amounts.get(TWO._replace(mig="1g/7"), 0), ONE in amounts) == (9, 0, True)


def test_columns_are_the_same_of_either() -> None:
    table = {TWO: 9, ONE: 7}
    assert in_columns(table) == in_columns(Amounts(table, table.values())) == ((TWO, ONE), (9, 7))
