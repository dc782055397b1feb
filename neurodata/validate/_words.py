"""What each metric means, in words for who has never met it."""

from __future__ import annotations

# Name of the metric: (title, meaning).
WORDS: dict[str, tuple[str, str]] = {
    "ap": (
        "Connections found: average precision",
        "All pairs of units are ranked by how sure the model is of a connection. Going down the list, how many of the "
        "pairs so far are truly connected, averaged over the true connections. 1 is a perfect list; a list in random "
        "order gets the share of pairs that are connected.",
    ),
    "ap_excitatory": (
        "Excitatory connections found: average precision",
        "As average precision, only over pairs whose first unit is excitatory. These connections are weaker.",
    ),
    "ap_inhibitory": (
        "Inhibitory connections found: average precision",
        "As average precision, only over pairs whose first unit is inhibitory.",
    ),
    "auroc": (
        "Connections found: area under the ROC curve",
        "The probability that a connected pair is ranked above an unconnected one. 1 is perfect, 0.5 is guessing. "
        "When few pairs are connected, a high value can go with a list that is mostly wrong at its top.",
    ),
    "auroc_excitatory": (
        "Excitatory connections found: area under the ROC curve",
        "The probability that a connected pair is ranked above an unconnected one, first units excitatory.",
    ),
    "auroc_inhibitory": (
        "Inhibitory connections found: area under the ROC curve",
        "The probability that a connected pair is ranked above an unconnected one, first units inhibitory.",
    ),
    "mcc": (
        "Right decisions about connections: Matthews correlation",
        "Correlation of the model's own yes or no with the truth. 1 is all right, 0 is guessing. It falls when the "
        "model's threshold is wrong, even if its ranking is good.",
    ),
    "mcc_at_count": (
        "Right decisions if the number of connections were known: Matthews correlation",
        "As above, with as many pairs called connected as truly are. The difference to the model's own decision is "
        "what its threshold costs.",
    ),
    "false_discovery_rate": (
        "False connections among those claimed",
        "Of the pairs that the model calls connected, the share that is not. Lower is better.",
    ),
    "false_positive_rate": (
        "Unconnected pairs called connected",
        "Of the pairs that are not connected, the share that the model calls connected. Lower is better.",
    ),
    "false_positives_correlated": (
        "Unconnected but correlated pairs called connected",
        "Of the tenth of unconnected pairs whose spikes are most correlated, the share that the model calls "
        "connected. A model that takes correlation for connection fails here, however long the recording.",
    ),
    "sign_accuracy": (
        "Excitatory or inhibitory",
        "For true connections, how often the model has the sign right. Guessing gets 0.5.",
    ),
    "weight_pearson": (
        "Strength of connections: linear correlation",
        "Correlation of the model's weights with the true ones (peak of the postsynaptic potential), true connections.",
    ),
    "weight_spearman": (
        "Strength of connections: rank correlation",
        "Whether stronger connections get larger weights, true connections.",
    ),
    "delay_error": (
        "Delay of connections",
        "Mean distance of the model's delay from the true one. Lower is better.",
    ),
    "edge_brier": (
        "Probabilities of connections: squared error",
        "Mean squared difference of the claimed probability of a connection and the truth (1 or 0). Lower is better; "
        "chance is to give every pair the true share of connected pairs.",
    ),
    "edge_calibration": (
        "Probabilities of connections: calibration",
        "How far claimed probabilities are from how often they come true. Lower is better; 0 also for a model that "
        "gives every pair the true share, so read it together with the ranking.",
    ),
    "state_accuracy": (
        "States found",
        "Share of time in the right state, once the model's states are matched to the true ones as well as possible. "
        "Chance is to name the most frequent state always.",
    ),
    "state_ari": (
        "States found: adjusted Rand index",
        "How well the model's division of time into states agrees with the true one. 1 is perfect, 0 is chance.",
    ),
    "state_ami": (
        "States found: adjusted mutual information",
        "What the model's states tell about the true ones, less what chance would. 1 is all, 0 is chance.",
    ),
    "change_f1": (
        "Times of change found",
        "Changes of state found near to when they happened: balance of changes found and changes that are real.",
    ),
    "dwell_bias": (
        "How long states last",
        "Mean length of the model's states against the true ones, less 1. 0 is right, -0.5 is half as long, 1 twice.",
    ),
    "cluster_ari": (
        "Groups of units found: adjusted Rand index",
        "How well the model's groups agree with the true ones. 1 is perfect, 0 is chance.",
    ),
    "cluster_ami": (
        "Groups of units found: adjusted mutual information",
        "What the model's groups tell about the true ones, less what chance would. 1 is all, 0 is chance.",
    ),
    "cluster_vi": (
        "Groups of units found: variation of information",
        "What each grouping fails to tell about the other. 0 is perfect; lower is better.",
    ),
    "latent_r2": (
        "Hidden signals found: variance explained",
        "Share of the true hidden signals that a linear map of the model's signals gives, the map learnt on one part "
        "of the time and scored on the rest. 1 is perfect; 0 is their mean.",
    ),
    "latent_cca": (
        "Hidden signals found: canonical correlation",
        "Mean correlation of the best matched pairs of true and found signals.",
    ),
    "rdm_spearman": (
        "Differences between conditions: rank correlation",
        "Whether conditions that are truly more different are so in the model's dissimilarities. 1 is perfect.",
    ),
    "rdm_tau_a": (
        "Differences between conditions: Kendall's tau-a",
        "As above, over pairs of dissimilarities: those in the right order less those in the wrong one.",
    ),
    "bits_per_spike": (
        "Prediction of data that were held out",
        "How much better the model predicts the last fifth of the data than constant rates do, in bits per spike, when "
        "fitted to the rest. A model can predict well and still have the wrong connections.",
    ),
}


def words(metric: str) -> tuple[str, str]:
    """Title and meaning of a metric.

    Examples
    --------
    >>> words("auroc")[0]
    'Connections found: area under the ROC curve'
    >>> words("mine")
    ('mine', '')
    """
    return WORDS.get(metric, (metric, ""))
