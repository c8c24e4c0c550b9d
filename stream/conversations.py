"""Which turns belong together where a request only names the response before it."""

from collections import OrderedDict

#: Responses that are remembered: a later turn of an older one begins a conversation of its own.
MAX_REMEMBERED = 10_000


class Conversations:
    """The conversation of each response that a client may continue with `previous_response_id`.

    In memory: another process, or this one after a restart, does not know them.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def continued(self, tenant: str, previous: str) -> str:
        """The conversation that a request goes on with; an unknown response begins one."""
        return self._known.get((tenant, previous), previous)

    def remember(self, tenant: str, response: str, conversation: str) -> None:
        """Note which conversation a response is part of; "" begins one of its own."""
        if not response:
            return
        self._known[tenant, response] = conversation or response
        self._known.move_to_end((tenant, response))
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
