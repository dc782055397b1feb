from .base import Stage as Stage
from .base import observe as observe
from .behaviour import Behaviour as Behaviour
from .calcium import Calcium as Calcium
from .eeg import EEG as EEG
from .lfp import LFP as LFP
from .sorting import Sorting as Sorting
from .subsample import Subsample as Subsample
