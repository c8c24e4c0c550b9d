"""The search index: which words stand in which text. Apart from the texts, and erased with them.

SQLite's FTS5 and PostgreSQL's tsvector are both handed words that were cut here, so that a search
finds the same on both. The table is none of `schema.metadata`: it is another one on each.
"""

import re
from collections.abc import Sequence

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    TextClause,
    bindparam,
    column,
    false,
    table,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from classifiers.normalise import normalise
from monitor.types import Trace

#: So much of a trace is indexed: characters, and bytes of different words.
MAX_CHARS, MAX_BYTES = 200_000, 400_000
#: Longer words are found by their beginning.
MAX_WORD = 40
#: Words of a search; more are not looked at.
MAX_ASKED = 20
#: Words are common if of so many texts in a row at least so many have them.
SAMPLED, COMMON = 1000, 5
#: No record has so high a number.
_ENDLESS = 2**62

_word = re.compile(r"\w+")
_asked = re.compile(r"\w+\*?")
#: Over what a log left here that was cut off since: that must not keep new verdicts out.
_put = {
    "sqlite": text("INSERT OR REPLACE INTO texts (rowid, words) VALUES (:seq, :words)"),
    "postgresql": text(
        "INSERT INTO texts (seq, words)"
        " VALUES (:seq, array_to_tsvector(string_to_array(:words, ' ')))"
        " ON CONFLICT (seq) DO UPDATE SET words = excluded.words"
    ),
}
_has = {
    "sqlite": text("SELECT 1 FROM texts WHERE rowid = :seq"),
    "postgresql": text("SELECT 1 FROM texts WHERE seq = :seq"),
}
_sample = text(
    "SELECT count(*) FROM (SELECT FROM texts WHERE seq >= :least AND seq < :before"
    " AND words @@ CAST(:asked AS tsquery) LIMIT :enough) AS found"
)
_drop = {
    "sqlite": text("DELETE FROM texts WHERE rowid IN :seqs"),
    "postgresql": text("DELETE FROM texts WHERE seq IN :seqs"),
}


def words_of(trace: Trace) -> str:
    """Return the different words of a trace, apart by spaces, as the index wants them."""
    whole = " ".join([trace.prompt, *(part.text for part in trace.parts)])[:MAX_CHARS]
    found = sorted({_term(word) for word in _word.findall(_plain(whole))})
    return " ".join(found)[:MAX_BYTES]


def put(connection: Connection, found: Sequence[tuple[int, str]]) -> None:
    """Index the words of verdicts, each with the number of its record."""
    if rows := [{"seq": seq, "words": words} for seq, words in found if words]:
        connection.execute(_put[connection.dialect.name], rows)


def has(connection: Connection, seq: int) -> bool:
    """Tell whether a verdict is in the index."""
    return connection.execute(_has[connection.dialect.name], {"seq": seq}).first() is not None


def drop(connection: Connection, seqs: Sequence[int]) -> None:
    """Forget texts."""
    if seqs:
        statement = _drop[connection.dialect.name].bindparams(bindparam("seqs", expanding=True))
        connection.execute(statement, {"seqs": list(seqs)})


#: SQLite's, for statements that read it from its end.
index = table("texts", column("rowid", Integer()))


def matches(words: str) -> ColumnElement[bool] | TextClause:
    """Return the condition that a row of SQLite's index has these words."""
    asked = Asked(words).fts5
    return text("texts MATCH :asked").bindparams(asked=asked) if asked else false()


class Asked:
    """What somebody looks for: all of these words, in any order; `word*` is how one begins."""

    def __init__(self, words: str) -> None:
        found = list(dict.fromkeys(_asked.findall(_plain(words))))[:MAX_ASKED]
        terms = [(_term(word.removesuffix("*")), word.endswith("*")) for word in found]
        self.fts5 = " AND ".join(f'"{term}"{"*" * begins}' for term, begins in terms)
        self.tsquery = " & ".join(f"'{term}'{':*' * begins}" for term, begins in terms)


class containing(FunctionElement[bool]):  # noqa: N801 (reads as a function of SQL)
    """Whether a verdict's text has the words; nothing has none."""

    type = Boolean()
    inherit_cache = True


def has_words(words: str, before: int | None = None) -> ColumnElement[bool]:
    """Return the condition that a verdict's text has these words.

    `before` bounds the records whose texts are looked at; that of the verdicts does not.
    """
    asked = Asked(words)
    if not asked.fts5:
        return false()
    bound = _ENDLESS if before is None else before
    clauses = (asked.fts5, asked.tsquery, bound)
    return containing(*(bindparam(None, clause) for clause in clauses))


def common(connection: Connection, words: str, before: int | None) -> bool:
    """Tell whether many of the texts before a record (None: the newest) have these words.

    Only PostgreSQL needs to know: of words that its statistics do not have it assumes that one text
    in two hundred has them, and reads all texts from the newest on to find the few that do.
    """
    if before is None:
        before = connection.execute(text("SELECT max(seq) + 1 FROM texts")).scalar() or 0
    asked = {"least": before - SAMPLED, "before": before, "asked": Asked(words).tsquery}
    found = connection.execute(_sample, {**asked, "enough": COMMON}).scalar_one()
    return bool(found == COMMON)


@compiles(containing)
def _in_sqlite(element: containing, compiler: SQLCompiler, **options: object) -> str:
    asked, _, _ = (compiler.process(clause, **options) for clause in element.clauses)
    found = f"SELECT rowid FROM texts WHERE texts MATCH {asked}"  # noqa: S608 (a parameter)
    return f"verdicts.seq IN ({found})"


@compiles(containing, "postgresql")
def _in_postgres(element: containing, compiler: SQLCompiler, **options: object) -> str:
    _, asked, before = (compiler.process(clause, **options) for clause in element.clauses)
    fitting = f"words @@ CAST({asked} AS tsquery) AND seq < {before}"
    return f"verdicts.seq IN (SELECT seq FROM texts WHERE {fitting})"  # noqa: S608 (likewise)


def _plain(words: str) -> str:
    """Undo disguises, and upper case; plain text is left alone, because that is fast."""
    return (words if words.isascii() else normalise(words).text).casefold()


def _term(word: str) -> str:
    """Write a word so that no database finds a reason to cut or change it."""
    kept = word[:MAX_WORD]
    return kept if kept.isascii() else "u_" + kept.encode("utf-8").hex()
