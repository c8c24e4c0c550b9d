"""A request that is refused, said on a page."""

from starlette.responses import HTMLResponse

from dashboard.render import page


class RefusedError(Exception):
    """The request cannot be done; title and message are for a person and quote nothing."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(title)
        self.status, self.title, self.message = status, title, message

    def page(self) -> HTMLResponse:
        """Return the page that says so."""
        values = {"title": self.title, "message": self.message}
        return page("refused.html", values, status=self.status)
