"""The statements of the Cassandra adapter: they stay right when a column is added, and no answer has a second page."""

import re

import pytest

from fanout.message_rows import FORMS, RowForm
from services.adapters.cassandra.statements import _CQL, _OF_ROWS, RowStatements, Statements

TEXTS = {**_OF_ROWS, **_CQL}


class Connection:
    """Keeps what is prepared."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def prepare(self, statements: list[str]) -> list[str]:
        self.texts += statements
        return statements


async def test_each_statement_is_prepared_for_the_keyspace_under_its_name() -> None:
    connection = Connection()
    statements = await Statements.prepare(connection, "x_fanout")  # type: ignore[arg-type]
    assert set(_CQL) == set(Statements._fields) - {"rows"}
    assert set(_OF_ROWS) == set(RowStatements._fields)
    prepared = [(name, text) for rows in statements.rows.values() for name, text in rows._asdict().items()]
    prepared += [(name, text) for name, text in statements._asdict().items() if name != "rows"]
    assert [text for _, text in prepared] == connection.texts
    for name, text in prepared:
        assert text.startswith(TEXTS[name].split("{", 1)[0])
        assert "x_fanout." in text
        assert not {"{", "}"}.intersection(text)


@pytest.mark.parametrize("name", TEXTS)
def test_it_names_its_columns_and_bounds_its_answer(name: str) -> None:
    text = TEXTS[name]
    assert "*" not in text
    if text.startswith("SELECT"):
        assert re.search(r"LIMIT (\?|\d+)$", text), "a second page would be fetched on the event loop"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.owner)
async def test_a_row_has_a_value_for_each_column(form: RowForm) -> None:
    statements = await Statements.prepare(Connection(), "fanout")  # type: ignore[arg-type]
    columns, values = re.findall(r"\(([^)]*)\)", statements.rows[form].insert)
    assert columns.split(", ") == [form.owner, "bucket", *form.columns]
    assert values.split(", ") == ["?"] * (2 + len(form.columns))


async def test_each_form_of_rows_has_tables_of_its_own() -> None:
    statements = await Statements.prepare(Connection(), "fanout")  # type: ignore[arg-type]
    in_channels, in_threads = (" ".join(rows._asdict().values()) for rows in statements.rows.values())
    assert not re.search(r"\.thread_(messages|summary)\b", in_channels)
    assert not re.search(r"\.(messages|channel_buckets)\b", in_threads)
