"""Views that people saved: names for addresses of a list."""

from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select

from monitor.store.errors import Conflict
from monitor.store.reviews import Turns
from monitor.store.schema import views

#: Views that one person may have.
MAX_VIEWS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A name and what it stands for."""

    name: str
    #: Path and query of a page of ours.
    address: str


class Views:
    """Each person's own views. All methods block and may be called from any thread."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def of(self, owner: str) -> tuple[View, ...]:
        """Return somebody's views by name."""
        wanted = select(views).where(views.c.owner == owner).order_by(views.c.name)
        with self._turns.reading() as connection:
            rows = connection.execute(wanted).all()
        return tuple(View(name=row.name, address=row.address) for row in rows)

    def save(self, owner: str, view: View) -> None:
        """Save a view in place of one of the same name; Conflict when there are too many."""
        mine = views.c.owner == owner
        row = {"owner": owner, "name": view.name, "address": view.address}
        with self._turns.writing() as connection:
            connection.execute(delete(views).where(mine, views.c.name == view.name))
            count = connection.execute(select(func.count()).where(mine)).scalar_one()
            if count >= MAX_VIEWS:
                raise Conflict(f"there are {MAX_VIEWS} views already: remove one first")
            connection.execute(insert(views), row)

    def remove(self, owner: str, name: str) -> None:
        """Forget a view; nothing happens when there is none of this name."""
        with self._turns.writing() as connection:
            connection.execute(delete(views).where(views.c.owner == owner, views.c.name == name))
