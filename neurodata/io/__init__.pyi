from .bridge_neo import from_neo as from_neo
from .load import load as load
from .registry import readers as readers
