"""The statements of the Cassandra adapter: they stay right when a column is added, and no answer has a second page."""

import re

import pytest

from fanout.message_rows import COLUMNS
from services.adapters.cassandra.statements import _CQL, Statements


class Connection:
    """Keeps what is prepared."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def prepare(self, statements: list[str]) -> list[str]:
        self.texts = statements
        return statements


async def test_each_statement_is_prepared_for_the_keyspace_under_its_name() -> None:
    connection = Connection()
    statements = await Statements.prepare(connection, "x_fanout")  # type: ignore[arg-type]
    assert list(statements) == connection.texts
    assert set(_CQL) == set(Statements._fields)
    for name, text in zip(Statements._fields, statements, strict=True):
        assert text.split(" {", 1)[0].startswith(_CQL[name].split(" {", 1)[0])
        assert "x_fanout." in text
        assert not {"{", "}"}.intersection(text)


@pytest.mark.parametrize("name", _CQL)
def test_it_names_its_columns_and_bounds_its_answer(name: str) -> None:
    text = _CQL[name]
    assert "*" not in text
    if text.startswith("SELECT"):
        assert re.search(r"LIMIT (\?|\d+)$", text), "a second page would be fetched on the event loop"


async def test_a_row_has_a_value_for_each_column() -> None:
    statements = await Statements.prepare(Connection(), "fanout")  # type: ignore[arg-type]
    columns, values = re.findall(r"\(([^)]*)\)", statements.message)
    assert columns.split(", ") == ["channel_id", "bucket", *COLUMNS]
    assert values.split(", ") == ["?"] * (2 + len(COLUMNS))
