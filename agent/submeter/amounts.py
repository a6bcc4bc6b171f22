"""Accounts and what each has, as two columns in, a mapping out that becomes a table only once
somebody looks an account up: a snapshot has several with thousands of accounts each, and they are
mostly read from beginning to end."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView

from submeter.model import Account


class Amounts(Mapping[Account, int]):
    """Owns both columns; no account is in them twice."""

    __slots__ = ("_table", "accounts", "amounts")

    def __init__(self, accounts: Iterable[Account], amounts: Iterable[int]) -> None:
        self.accounts = tuple(accounts)
        self.amounts = tuple(amounts)
        self._table: dict[Account, int] | None = None

    def _named(self) -> dict[Account, int]:
        if self._table is None:
            self._table = dict(zip(self.accounts, self.amounts, strict=True))
        return self._table

    def __getitem__(self, account: Account) -> int:
        return self._named()[account]

    def __iter__(self) -> Iterator[Account]:
        return iter(self.accounts)

    def __len__(self) -> int:
        return len(self.accounts)

    def items(self) -> ItemsView[Account, int]:
        return self._named().items()

    def values(self) -> ValuesView[int]:
        return self._named().values()


def in_columns(table: Mapping[Account, int]) -> tuple[tuple[Account, ...], tuple[int, ...]]:
    """The accounts, and in the same order what each has."""
    if isinstance(table, Amounts):
        return table.accounts, table.amounts
    return tuple(table), tuple(table.values())
