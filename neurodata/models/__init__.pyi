from .bicluster.estimator import BiClustering as BiClustering
from .bicluster.score import speckle as speckle
from .connectome.nonnegative_cp import NonnegativeCP as NonnegativeCP
from .connectome.nonnegative_cp import factor_match_score as factor_match_score
from .hmm_glm.estimator import HMMGLM as HMMGLM
from .hmm_glm.selection import select_n_states as select_n_states
from .results import load as load
