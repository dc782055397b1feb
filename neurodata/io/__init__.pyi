from .bridge_neo import from_neo as from_neo
from .bridge_pynapple import from_pynapple as from_pynapple
from .bridge_pynapple import to_pynapple as to_pynapple
from .bridge_spikeinterface import from_spikeinterface as from_spikeinterface
from .bridge_spikeinterface import to_spikeinterface as to_spikeinterface
from .load import load as load
from .registry import readers as readers
