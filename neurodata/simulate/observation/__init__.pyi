from .base import Stage as Stage
from .base import observe as observe
from .calcium import Calcium as Calcium
from .sorting import Sorting as Sorting
from .subsample import Subsample as Subsample
