"""Records of logs, whatever tool wrote them, to traces. Pure."""

from monitor.dialects.logs.mapped import FieldMap, MapError
from monitor.dialects.logs.records import Logged, read_logged

__all__ = ["FieldMap", "Logged", "MapError", "read_logged"]
