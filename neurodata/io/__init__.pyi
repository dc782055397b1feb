from .load import load as load
from .registry import readers as readers
