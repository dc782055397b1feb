from . import baselines as baselines
from . import metrics as metrics
from .claims import claims as claims
from .prepare import Prepare as Prepare
from .prepare import prepare_for as prepare_for
from .grid import grid as grid
