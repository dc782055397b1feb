from .bicluster.estimator import BiClustering as BiClustering
from .bicluster.score import speckle as speckle
from .hmm_glm.estimator import HMMGLM as HMMGLM
from .hmm_glm.selection import select_n_states as select_n_states
from .results import load as load
